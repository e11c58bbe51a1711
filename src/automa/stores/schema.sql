-- Version 1. Append-only but for the row of the run, which changes when the run begins, changes hands
-- or ends: so that a step writes one row, and nothing else.

CREATE TABLE runs (
    id       INTEGER PRIMARY KEY,
    workflow TEXT    NOT NULL,
    run      TEXT    NOT NULL,
    status   TEXT    NOT NULL,           -- 'running', or the outcome with which it ended or stopped
    created  INTEGER NOT NULL,           -- microseconds since 1970, UTC
    owner    TEXT,                       -- the lock file of whoever carries it on
    epoch    INTEGER NOT NULL DEFAULT 1, -- grows with each owner: what an earlier one writes is refused
    UNIQUE (workflow, run)
);

CREATE INDEX runs_by_run ON runs (run);
CREATE INDEX runs_by_status ON runs (status);

-- The entries of one write. The id is the run's, times 2^32, plus the number of the write: rows of a run
-- lie together, in order, without a second index.
CREATE TABLE writes (
    id      INTEGER PRIMARY KEY,
    entries TEXT NOT NULL                -- a JSON list
);
