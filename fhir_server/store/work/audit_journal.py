"""The journal of accesses: a file for each worker, where what happened is written down before its answer leaves.

One `write` costs microseconds and outlives a kill of the process, so the database can be told later, in bulk. A file is
removed when it has been told; what a killed worker left behind is found by the next one: the kernel lets its lock go.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import msgspec

from fhir_server.store.encryption.key_ring import KeyRing

_SUFFIX = ".journal"
_UNREADABLE = ".unreadable"


def backlog_bytes(directory: Path) -> int:
    """Return the bytes of the journals below a directory that the database has not been told yet."""
    return sum(path.stat().st_size for path in directory.glob(f"*{_SUFFIX}") if path.exists())


class Batch:
    """The lines of one file of the journal; `done` removes it."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    def lines(self) -> list[bytes]:
        """Return the lines; a last one that was cut off belongs to an answer that never left."""
        return self._path.read_bytes().split(b"\n")[:-1]

    def done(self) -> None:
        """Remove the file: all of it is in the database."""
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


class AuditJournal:
    """The journal of this worker, below a directory that all workers share."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._directory = directory
        self._path, self._descriptor = self._begin()
        self._is_empty = True

    def append(self, line: bytes) -> None:
        """Write a line down; it holds no line break. Raises OSError where the disk does not take it."""
        os.write(self._descriptor, line + b"\n")
        self._is_empty = False

    def take(self) -> Batch | None:
        """Return what was written since the last time and go on in a new file; None where nothing was."""
        if self._is_empty:
            return None
        taken = Batch(self._path, self._descriptor)
        self._path, self._descriptor = self._begin()
        self._is_empty = True
        return taken

    def set_aside(self, line: bytes) -> None:
        """Keep a line that nobody can read, for a person to look at."""
        path = self._directory / f"{os.getpid()}{_UNREADABLE}"
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, line + b"\n")
        finally:
            os.close(descriptor)

    def orphans(self) -> Iterator[Batch]:
        """Yield what processes left behind that are no more."""
        for path in sorted(self._directory.glob(f"*{_SUFFIX}")):
            try:
                descriptor = os.open(path, os.O_RDWR)
            except FileNotFoundError:
                continue
            if _lock(descriptor) and path.exists():
                yield Batch(path, descriptor)
            else:
                os.close(descriptor)

    def close(self) -> None:
        """Let the file go; one without lines is removed."""
        if self._is_empty:
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)

    def _begin(self) -> tuple[Path, int]:
        # Under another name until it is locked, or it would look left behind.
        path = self._directory / f"{os.getpid()}-{secrets.token_hex(6)}{_SUFFIX}"
        hidden = path.with_suffix(".new")
        descriptor = os.open(hidden, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
        _lock(descriptor)
        hidden.rename(path)
        return path, descriptor


class SealedLine(msgspec.Struct, frozen=True, array_like=True, tag="sealed"):
    """A line of an encrypted server: of which access and when, which a backup must know, and the rest sealed."""

    id: str
    milliseconds: int
    sealed: bytes

    @property
    def place(self) -> str:
        """What the line is bound to."""
        return f"{_PLACE}\x1f{self.id}\x1f{self.milliseconds}"


_PLACE = "audit journal"
_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(SealedLine)


def seal_line(ring: KeyRing, access_id: str, milliseconds: int, line: bytes) -> bytes:
    """Return the line of an access as an encrypted server writes it down."""
    named = SealedLine(access_id, milliseconds, b"")
    return _encode(msgspec.structs.replace(named, sealed=bytes(ring.seal(line, named.place))))


def open_line(ring: KeyRing, line: bytes) -> bytes:
    """Return a line as it was; one that was written down before encryption is as it was. Raises Unreadable."""
    try:
        sealed = _decoder.decode(line)
    except msgspec.DecodeError:
        return line
    return ring.open(sealed.sealed, sealed.place)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
