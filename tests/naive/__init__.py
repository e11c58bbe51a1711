"""Sagas as one writes them at first: each has a pitfall, and fails the check that is there for it."""
