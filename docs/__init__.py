"""Fills the pages from the records of runs, and compares the two."""
