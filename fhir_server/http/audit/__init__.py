"""The record of each access: who asked what, and how it ended."""
