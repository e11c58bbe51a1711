"""What authors of steps and of stores check their work with."""

from automa.testing.stores import check_store

__all__ = ["check_store"]
