"""Runs on a fleet: engines that carry workflows on, and the one that needs none, over a store."""
