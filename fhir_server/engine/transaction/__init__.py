"""Batch and transaction: entries, the references between them, and all of it or nothing."""
