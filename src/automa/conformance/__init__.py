"""Runs the published fixtures of automa-spec against this implementation."""

from automa.conformance.harness import Result, run_fixtures, summary

__all__ = ["Result", "run_fixtures", "summary"]
