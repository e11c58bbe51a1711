"""What modules that write to Postgres share; psycopg is imported only where it is needed."""

from __future__ import annotations

import play


def is_postgres(place: str) -> bool:
    """Tell whether a place is one of Postgres."""
    return place.startswith("postgresql:")


def written(place: str) -> int:
    """Return the bytes written so far: by the server, to its write-ahead log; elsewhere, by this process."""
    if not is_postgres(place):
        return play.written_by_process(place)
    import psycopg  # noqa: PLC0415  # it is not there for every module

    query = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint"
    with psycopg.connect(place) as connection:
        (found,) = connection.execute(query).fetchone() or (0,)
    return int(found)
