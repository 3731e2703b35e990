"""Profiles on the server: definitions from the database, terminology, and the one gate that all writes pass.

`content` holds what was read of definitions, `checking` runs a validation on it, `gate` says what a write must meet.
"""
