"""The right to the largest requests, which the workers of one host have one at a time."""

from __future__ import annotations

from pathlib import Path
from typing import IO

from fhir_server.store.database.data_directory import try_lock


class HostLock:
    """A lock in the data directory: at most one request of all workers on this host holds it.

    The kernel takes it from a worker that dies. `least` is the size of the smallest request that needs it.
    """

    def __init__(self, path: Path, least: int) -> None:
        self._path = path
        self._least = least
        self._file: IO[str] | None = None
        self._holder: object = None

    def try_acquire(self, request: object, size: int) -> bool:
        """Return whether the request may begin: it needs no lock, or holds it now."""
        if size < self._least or self._holder is request:
            return True
        if self._holder is not None:
            return False
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = try_lock(self._path)
        except OSError:
            return True  # a disk without room, or none to write on, is no reason to refuse requests
        if self._file is None:
            return False
        self._holder = request
        return True

    def release(self, request: object) -> None:
        """Let the next request have the lock, where this one holds it."""
        if self._holder is request and self._file is not None:
            self._file.close()
            self._file = self._holder = None
