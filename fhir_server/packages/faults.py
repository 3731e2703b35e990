"""What can be wrong with a package."""

from __future__ import annotations


class PackageError(Exception):
    """A package cannot be read, fetched or installed; the text says why, and what can be done."""
