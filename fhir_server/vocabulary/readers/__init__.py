"""Readers of publishers' files: each yields the records of a code system, a little at a time."""
