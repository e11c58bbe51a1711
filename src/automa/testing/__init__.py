"""What authors of steps and of stores check their work with."""

from automa.testing.clocks import VirtualClock, virtual_clock
from automa.testing.exploration import Exploration, Property, Verdict, Violation
from automa.testing.explorer import explore
from automa.testing.faults import InjectedFault, Injection, inject
from automa.testing.playing import ExplorationError
from automa.testing.stores import check_store
from automa.testing.worlds import DictWorld, Difference, DirectoryWorld, SqliteWorld, World, differences

__all__ = [
    "DictWorld",
    "Difference",
    "DirectoryWorld",
    "Exploration",
    "ExplorationError",
    "InjectedFault",
    "Injection",
    "Property",
    "SqliteWorld",
    "Verdict",
    "Violation",
    "VirtualClock",
    "World",
    "check_store",
    "differences",
    "explore",
    "inject",
    "virtual_clock",
]
