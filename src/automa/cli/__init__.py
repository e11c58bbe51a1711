"""The command ``automa`` (extra ``cli``)."""

from __future__ import annotations

import sys

from automa.cli.exits import USAGE


def main() -> int:
    """Run the command with the arguments of the process; return its exit status."""
    try:
        from automa.cli.app import run_app  # noqa: PLC0415  # the extra may be missing
    except ImportError as error:
        print(f"automa: {error}; the command needs: pip install 'automa-saga[cli]'", file=sys.stderr)  # noqa: T201
        return USAGE
    return run_app()
