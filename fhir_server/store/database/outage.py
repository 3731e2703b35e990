"""Why the embedded database is away, as a class of reasons: what callers may know, and what helps whoever looks.

The process that starts mongod writes the class down in the data directory, where every worker and command sees it. A
class names no path and no value; the log has what mongod itself said.
"""

from __future__ import annotations

import signal
from contextlib import suppress
from pathlib import Path

from fhir_server.errors import OutOfSpace, Unavailable
from fhir_server.store.database import disk

AWAY = "The database cannot be reached now; try again."
REASONS = {
    "killed": "The database was killed from outside, as for want of memory; it is being started again.",
    "permissions": "The database cannot start: it may not read or write its files. Somebody must correct that.",
    "corrupted": "The database cannot start: its files are damaged. Somebody must restore them.",
    "version": "The database cannot start: its files are those of another version. Somebody must correct that.",
    "address": "The database cannot start: its address is taken by another process.",
    "open files": "The database cannot go on: it may not open as many files as it needs.",
    "program": "The database cannot start: its program lacks something on this machine.",
    "ended": "The database has ended unexpectedly; it is being started again.",
}
OUTAGES = frozenset({disk.FULL, *REASONS.values()})
"""All that may be said of why it is away."""
_FILE = "mongod.away"
_SIGNS = {
    "permissions": ("permission denied", "operation not permitted", "read-only file system", "read-only directory"),
    "version": ("upgrade problem", "wrong mongod version", "incompatible", "unsupported wiredtiger file version"),
    "address": ("address already in use", "failed to unlink socket"),
    "open files": ("too many open files",),
    "program": ("error while loading shared libraries", "exec format error"),
    "corrupted": (
        "corrupt",
        "wt_panic",
        "wt_try_salvage",
        "wt_error",
        "checksum error",
        "unable to read root page",
        "failed to start up wiredtiger",
        "wiredtiger metadata",
    ),
}


def reason_of(returncode: int | None, output: str) -> str:
    """Return the class of reasons for which a mongod ended, from its status and its last words."""
    if returncode in (-signal.SIGKILL, -signal.SIGTERM):
        return "killed"
    text = output.lower()
    return next((reason for reason, signs in _SIGNS.items() if any(sign in text for sign in signs)), "ended")


def note(directory: Path, reason: str | None) -> None:
    """Write down why the mongod of a data directory is away; None: it is back."""
    with suppress(OSError):  # the disk may be what it is away for
        if reason is None:
            (directory / _FILE).unlink(missing_ok=True)
        else:
            (directory / _FILE).write_text(reason)


def summary() -> str | None:
    """Return what to say of an embedded database of this process that is away; None where nothing is known."""
    if disk.is_full():
        return disk.FULL
    for directory in disk.directories():
        with suppress(OSError):
            return REASONS.get((directory / _FILE).read_text())
    return None


def away() -> Unavailable:
    """Return the error that says why the database does not answer."""
    text = summary()
    return OutOfSpace(text) if text == disk.FULL else Unavailable(text or AWAY)
