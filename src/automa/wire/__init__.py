"""Formats in which reports travel: ``v0``, the one of the Go package."""
