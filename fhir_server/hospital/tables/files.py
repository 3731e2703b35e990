"""The files that rows of medical_documents point to, in a folder of the operator's.

What a row says is a stranger's: no path leads out of the folder, by dots or by links, and only plain files are read.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Unreachable(Exception):
    """The file cannot be had; the text says why."""


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file that is there; `fingerprint` tells whether it has been changed since."""

    size: int
    fingerprint: str


class FileFolder:
    """The folder; files beyond `largest` bytes are not read."""

    def __init__(self, folder: Path, largest: int) -> None:
        self._folder = folder
        self._largest = largest

    def look(self, url: str) -> FoundFile:
        """Return the file that a URL or path means; raises Unreachable."""
        with self._opened(url) as descriptor:
            return self._file_at(descriptor)

    def read(self, url: str) -> bytes:
        """Return the bytes of the file that a URL or path means; raises Unreachable."""
        with self._opened(url) as descriptor:
            self._file_at(descriptor)
            with open(descriptor, "rb", closefd=False) as file:
                data = file.read(self._largest + 1)
        if len(data) > self._largest:
            raise Unreachable(f"its file has more than {self._largest} bytes")
        return data

    def _file_at(self, descriptor: int) -> FoundFile:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise Unreachable("its file is not a plain file")
        if about.st_size > self._largest:
            raise Unreachable(f"its file has more than {self._largest} bytes")
        if not about.st_size:
            raise Unreachable("its file is empty")
        return FoundFile(about.st_size, f"{about.st_size}-{about.st_mtime_ns}")

    @contextmanager
    def _opened(self, url: str) -> Iterator[int]:
        descriptor = self._open(_parts(url))
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _open(self, parts: list[str]) -> int:
        """Open a file step by step, so that no link is followed, also where somebody makes one meanwhile."""
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        for part, is_last in zip(parts, [False] * (len(parts) - 1) + [True], strict=True):
            # Without waiting: a pipe would block until somebody writes to it.
            kind = os.O_NONBLOCK if is_last else os.O_DIRECTORY
            try:
                following = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | kind, dir_fd=descriptor)
            except OSError as error:
                raise Unreachable(_reason(error)) from error
            finally:
                os.close(descriptor)
            descriptor = following
        return descriptor


def _reason(error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return "its file is a symbolic link, and none is followed"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "its file may not be read"
    return "its file is not in the folder of --files"


def _parts(url: str) -> list[str]:
    """Return the steps of a path, or of the path of a URL, below the folder; raises Unreachable."""
    try:
        path = unquote(urlsplit(url).path) if "://" in url else url
    except ValueError as error:
        raise Unreachable("it is not a URL") from error
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts or "\x00" in path or not parts:
        raise Unreachable("it leads to no file below the folder of --files")
    try:
        os.fsencode(path)
    except UnicodeEncodeError as error:
        raise Unreachable("it leads to no file below the folder of --files") from error
    return parts
