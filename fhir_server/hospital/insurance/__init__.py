"""Verifying that an insurer covers a service."""
