"""Backups: one moment of the whole database as files, and back."""
