"""Whether the embedded database is away because its disk is full, as every process on the machine can see."""

from __future__ import annotations

import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

LEAST_FREE = 32 * 1024 * 1024
"""Bytes without which mongod does not start, or soon ends."""
FULL = "The disk of the database is full. It goes on by itself when there is room."

_directories: set[Path] = set()


def remember(url: str) -> None:
    """Note where the database of that URL keeps its files, where the URL tells: it names an embedded one's socket."""
    host = unquote(urlsplit(url).netloc)
    if host.startswith("/"):
        _directories.add(Path(host).parent)


def is_full() -> bool:
    """Return whether the disk of an embedded database that this process uses has no room."""
    return any(free(directory) < LEAST_FREE for directory in _directories)


def directories() -> frozenset[Path]:
    """Return where the embedded databases that this process uses keep their files."""
    return frozenset(_directories)


def free(directory: Path) -> int:
    """Return the free bytes of the disk that a directory is on."""
    try:
        return shutil.disk_usage(directory).free
    except OSError:  # it is gone, with the database
        return LEAST_FREE
