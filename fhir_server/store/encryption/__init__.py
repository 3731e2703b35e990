"""Encryption at rest: keys, sealed values, and collections whose documents are sealed."""
