"""Who may use a data directory: the lock that its owner holds, and the record by which others join its mongod.

The kernel drops a lock with its process, so nothing has to be cleaned up after a crash.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import IO


class StartupError(Exception):
    """The database cannot be started or used as it stands; the text says what to do next."""


class AlreadyRunning(StartupError):
    """Another process owns the data directory."""


def prepare(directory: Path) -> Path:
    """Create the data directory, readable by its owner alone, and return its absolute path.

    Raises StartupError where it cannot be created or written.
    """
    if sys.platform == "win32":
        raise StartupError(
            "The embedded mongod needs Linux or macOS. Set FHIR_SERVER_DATABASE_URL to your own MongoDB replica set."
        )
    directory = directory.expanduser().absolute()
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        (directory / "db").mkdir(mode=0o700, exist_ok=True)
        (directory / "db").chmod(0o700)
    except OSError as error:
        raise StartupError(
            f"The data directory {directory} cannot be used: {error.strerror}. Choose another with --data-dir."
        ) from error
    if not os.access(directory, os.W_OK | os.X_OK):
        raise StartupError(f"The data directory {directory} is not writable. Choose another with --data-dir.")
    return directory


def try_lock(path: Path, patience: float = 0.0) -> IO[str] | None:
    """Return the file, locked for this process alone until it is closed; None where another holds it all that time."""
    import fcntl  # absent on Windows, where `prepare` has refused

    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+")
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                file.close()
                return None
            time.sleep(0.02)
        else:
            return file


def own(directory: Path) -> IO[str]:
    """Return the lock that makes this process the owner of a prepared directory; raises AlreadyRunning."""
    # A joining process looks at the lock by taking it for an instant; patience outlasts that.
    lock = try_lock(directory / "owner.lock", patience=0.5)
    if lock is None:
        holder = (directory / "owner.lock").read_text().strip() or "unknown"
        raise AlreadyRunning(
            f"The data directory {directory} is in use by process {holder}. "
            "Stop that one, or choose another with --data-dir."
        )
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def record(directory: Path, url: str) -> None:
    """Write down the address of the owner's mongod, for `join`."""
    descriptor = os.open(directory / "mongod.json", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump({"owner": os.getpid(), "url": url}, file)


def forget(directory: Path) -> None:
    """Remove what `record` wrote."""
    (directory / "mongod.json").unlink(missing_ok=True)


def join(directory: Path) -> str | None:
    """Return the URL of the mongod that another process runs on this data directory; None where none does."""
    directory = directory.expanduser().absolute()
    if not (directory / "owner.lock").exists():
        return None
    lock = try_lock(directory / "owner.lock")
    if lock is not None:
        lock.close()
        return None
    return _recorded_url(directory)


def _recorded_url(directory: Path, patience: float = 5.0) -> str | None:
    # The owner holds the lock before its mongod is up: wait a little for the address.
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        try:
            return str(json.loads((directory / "mongod.json").read_text())["url"])
        except (OSError, ValueError):
            time.sleep(0.05)
    return None
