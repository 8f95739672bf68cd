"""Plausible bugs, each of which the tests that it names must catch: `python -m tests.mutants`."""
