"""What authors of steps and of stores check their work with."""

from automa.testing.stores import check_store
from automa.testing.worlds import DictWorld, Difference, DirectoryWorld, SqliteWorld, World, differences

__all__ = [
    "DictWorld",
    "Difference",
    "DirectoryWorld",
    "SqliteWorld",
    "World",
    "check_store",
    "differences",
]
