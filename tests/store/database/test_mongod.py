"""The embedded mongod: private, joined by other commands, refused to a second server, and back after every crash."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import pymongo
import pytest

from fhir_server.errors import Unavailable
from fhir_server.hospital.api import texts
from fhir_server.hospital.api.problem import problem_of
from fhir_server.settings import Settings
from fhir_server.store.database import data_directory, outage
from fhir_server.store.database.mongo import Database
from fhir_server.store.database.mongod import (
    AlreadyRunning,
    EmbeddedMongod,
    StartupError,
    database_url,
    find_mongod,
    join,
)
from fhir_server.store.resources.resources import ResourceStore
from tests.store.drafts import draft

OWNER = """
import sys, time
from pathlib import Path
from fhir_server.store.database.mongod import EmbeddedMongod
mongod = EmbeddedMongod(Path(sys.argv[1]))
mongod.start()
print(mongod.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def mongod(tmp_path: Path) -> Iterator[EmbeddedMongod]:
    with EmbeddedMongod(tmp_path / "data") as running:
        yield running


def until(condition: Callable[[], bool]) -> None:
    """Wait for what is to happen soon."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Return whether the process runs and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_other_users_cannot_reach_it(mongod: EmbeddedMongod, tmp_path: Path) -> None:
    """No port is open; the socket, the data and the recorded address are the owner's alone."""
    for name in ("mongod.sock", "db", "mongod.json", "owner.lock"):
        assert stat.S_IMODE((tmp_path / "data" / name).stat().st_mode) & 0o077 == 0
    own = {os.readlink(link) for link in Path(f"/proc/{mongod.pid}/fd").iterdir() if link.is_symlink()}
    listening = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:] if line.split()[3] == "0A"]
    assert not {f"socket:[{fields[9]}]" for fields in listening} & own


def test_second_server_is_refused_and_commands_join(mongod: EmbeddedMongod, tmp_path: Path) -> None:
    """While a server owns the directory, another is refused by name of the process, and a command gets its URL."""
    with pytest.raises(AlreadyRunning, match=str(os.getpid())):
        EmbeddedMongod(tmp_path / "data").start()
    assert join(tmp_path / "data") == mongod.url
    with database_url(Settings(data_dir=tmp_path / "data")) as url, pymongo.MongoClient[dict[str, int]](url) as client:
        client.a.b.insert_one({"_id": 1})
    mongod.stop()
    assert join(tmp_path / "data") is None


def test_command_without_a_server_runs_its_own(tmp_path: Path) -> None:
    """A command on a directory that no server uses starts a mongod and ends it afterwards."""
    assert join(tmp_path / "new") is None
    with database_url(Settings(data_dir=tmp_path / "new")) as url:
        assert join(tmp_path / "new") == url
    assert join(tmp_path / "new") is None


def test_data_outlive_a_restart_and_a_move(tmp_path: Path) -> None:
    """What was written is there after a clean stop, even when the directory was moved, also to a very long path."""
    with EmbeddedMongod(tmp_path / "data") as first, pymongo.MongoClient[dict[str, int]](first.url) as client:
        client.a.b.insert_one({"_id": 1})
    moved = tmp_path / ("x" * 120) / "data"
    moved.parent.mkdir()
    (tmp_path / "data").rename(moved)
    with EmbeddedMongod(moved) as second, pymongo.MongoClient[dict[str, int]](second.url) as client:
        assert client.a.b.count_documents({}) == 1


def test_killed_owner_leaves_no_orphan_and_loses_nothing(tmp_path: Path) -> None:
    """After kill -9 of the owner its mongod ends by itself, and the next start finds every write."""
    with subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE) as owner:
        assert owner.stdout
        pid = int(owner.stdout.readline())
        with pymongo.MongoClient[dict[str, int]](join(tmp_path)) as client:
            client.a.b.insert_one({"_id": 1})
        owner.kill()
    with EmbeddedMongod(tmp_path) as heir, pymongo.MongoClient[dict[str, int]](heir.url) as client:
        assert heir.pid != pid
        assert client.a.b.count_documents({}) == 1
    until(lambda: not alive(pid))


def test_owner_killed_with_its_mongod_can_start_again(tmp_path: Path) -> None:
    """After kill -9 of both, the directory is free and holds every write."""
    with subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE) as owner:
        assert owner.stdout
        pid = int(owner.stdout.readline())
        with pymongo.MongoClient[dict[str, int]](join(tmp_path)) as client:
            client.a.b.insert_one({"_id": 1})
        owner.kill()
        os.kill(pid, signal.SIGKILL)
    with EmbeddedMongod(tmp_path) as heir, pymongo.MongoClient[dict[str, int]](heir.url) as client:
        assert client.a.b.count_documents({}) == 1


async def test_killed_mongod_comes_back_with_every_acknowledged_write(mongod: EmbeddedMongod) -> None:
    """Kill -9 of mongod amid writes costs callers a 503 at most: it is started again with all they were promised."""
    database = await Database.connect(mongod.url)
    store = ResourceStore(database)
    acknowledged: set[str] = set()
    begun, enough = asyncio.Event(), asyncio.Event()

    async def write(writer: int) -> None:
        for number in range(10_000):
            name = f"{writer}-{number}"
            try:
                await store.insert(draft(name))
            except Unavailable:
                continue
            acknowledged.add(name)
            if len(acknowledged) == 100:
                begun.set()
            if len(acknowledged) == 400:
                enough.set()
            if enough.is_set():
                return

    first = mongod.pid
    assert first
    writers = [asyncio.create_task(write(number)) for number in range(8)]
    await begun.wait()
    os.kill(first, signal.SIGKILL)
    await asyncio.gather(*writers)
    result = await store.read_many("Patient", sorted(acknowledged))
    await database.close()
    assert mongod.pid != first
    assert set(result) == acknowledged


def test_mongod_that_cannot_start_for_long_comes_back_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it dies again and again, as on a full disk, it is started with growing pauses until there is room again."""
    monkeypatch.setattr("fhir_server.store.database.mongod.FIRST_PAUSE", 0.01)
    monkeypatch.setattr("fhir_server.store.database.mongod.LONGEST_PAUSE", 0.1)
    full, tries, binary = tmp_path / "full", tmp_path / "tries", tmp_path / "mongod"
    binary.write_text(
        f"#!/bin/sh\nif [ -e {full} ]; then echo x >> {tries}; echo No space left on device >&2; exit 14; fi\n"
        f'exec {find_mongod()} "$@"\n'
    )
    binary.chmod(0o755)
    with EmbeddedMongod(tmp_path / "data", binary) as mongod:
        first = mongod.pid
        assert first
        full.touch()
        os.kill(first, signal.SIGKILL)
        until(lambda: tries.exists() and len(tries.read_text()) >= 2 * 10)
        full.unlink()
        with pymongo.MongoClient[dict[str, int]](mongod.url) as client:
            until(lambda: is_primary(client))
            client.a.b.insert_one({"_id": 1})


def is_primary(client: pymongo.MongoClient[dict[str, int]]) -> bool:
    """Return whether the node takes writes; until it does, one that has just started refuses them."""
    return bool(client.admin.command("hello")["isWritablePrimary"])


def test_unusable_directory_is_named(tmp_path: Path) -> None:
    """A data directory that cannot be made is refused with its path and what to do."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StartupError, match=r"file/data cannot be used.*--data-dir"):
        EmbeddedMongod(tmp_path / "file" / "data").start()


def test_missing_library_is_named(tmp_path: Path) -> None:
    """A mongod that lacks a shared library is reported by the library's name, and leaves the directory free."""
    broken = tmp_path / "mongod"
    broken.write_text(
        "#!/bin/sh\necho 'mongod: error while loading shared libraries: libcurl.so.4: cannot open' >&2\nexit 127\n"
    )
    broken.chmod(0o755)
    with pytest.raises(StartupError, match=r"library libcurl\.so\.4 is missing.*FHIR_SERVER_DATABASE_URL"):
        EmbeddedMongod(tmp_path / "data", broken).start()
    assert join(tmp_path / "data") is None


def test_mongod_that_ends_at_once_says_why(tmp_path: Path) -> None:
    """A mongod that refuses its data is reported with its own words, and where the rest is."""
    (tmp_path / "db").mkdir(mode=0o700)
    (tmp_path / "db" / "storage.bson").write_text("no storage")
    with pytest.raises(StartupError, match=r"The mongod ended with status \d+: .*mongod\.log"):
        EmbeddedMongod(tmp_path).start()


def test_no_mongod_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no mongod is to be found, the message says how to get one; a configured one must be there."""
    with pytest.raises(StartupError, match="not an executable"):
        find_mongod(tmp_path / "none")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "fiftyone", None)
    with pytest.raises(StartupError, match="Install MongoDB"):
        find_mongod()


def test_log_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log beyond its limit is set aside at the start, over the one set aside before."""
    monkeypatch.setattr("fhir_server.store.database.mongod.LARGEST_LOG", 1000)
    (tmp_path / "mongod.log").write_text("old" * 1000)
    (tmp_path / "mongod.log.1").write_text("older")
    with EmbeddedMongod(tmp_path):
        assert (tmp_path / "mongod.log.1").read_text().startswith("oldold")
        assert not (tmp_path / "mongod.log").read_text().startswith("old")


def test_windows_is_pointed_to_a_database_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a platform without Unix locks and sockets the message says to set a database URL."""
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(StartupError, match="FHIR_SERVER_DATABASE_URL"):
        data_directory.prepare(tmp_path)


def test_standalone_mongod_is_refused(tmp_path: Path) -> None:
    """A MongoDB without transactions is refused with what to do about it."""
    command = [str(find_mongod()), "--dbpath", ".", "--bind_ip", "./alone.sock", "--nounixsocket", "--logpath", "log"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) as alone:
        try:
            until((tmp_path / "alone.sock").exists)
            address = str(tmp_path / "alone.sock").replace("/", "%2F")
            with pytest.raises(StartupError, match=r"no transactions.*--replSet"):
                asyncio.run(Database.connect(f"mongodb://{address}/?directConnection=true"))
        finally:
            alone.kill()


async def test_database_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A database that does not answer, or a URL that makes no sense, is a StartupError."""
    address = str(tmp_path / "none.sock").replace("/", "%2F")
    with pytest.raises(StartupError, match="does not answer"):
        await Database.connect(f"mongodb://{address}/?serverSelectionTimeoutMS=100")
    with pytest.raises(StartupError, match="cannot be understood"):
        await Database.connect("postgres://example.org")


async def insert_for_ever(store: ResourceStore) -> None:
    """Insert one after the other: the threads of a process that is stopped do not stop all at once."""
    for number in count(2):
        await store.insert(draft(str(number)))


async def test_a_frozen_mongod_is_told_of_and_goes_on(mongod: EmbeddedMongod) -> None:
    """Who waits for a mongod that is stopped gets a 503, not silence; when it goes on, everything is there."""
    database = await Database.connect(mongod.url)
    store = ResourceStore(database)
    await store.insert(draft("1"))
    assert mongod.pid
    os.kill(mongod.pid, signal.SIGSTOP)
    try:
        with pytest.raises(Unavailable):
            await insert_for_ever(store)
        with pytest.raises(Unavailable):
            await database.ping()
    finally:
        os.kill(mongod.pid, signal.SIGCONT)
    while True:
        with suppress(Unavailable):
            assert await store.read("Patient", "1") is not None
            break
    await store.insert(draft("last"))
    await database.close()


async def test_why_a_mongod_is_away_is_told_without_its_places(tmp_path: Path) -> None:
    """Every process that uses the database says the class of reasons, and nothing when it is back."""
    with EmbeddedMongod(tmp_path / "data") as running:
        database = await Database.connect(running.url)
        first = running.pid
        assert first
        for name in ("WiredTiger.turtle", "WiredTiger.wt"):
            whole = (tmp_path / "data" / "db" / name).read_bytes()
            (tmp_path / name).write_bytes(whole)
            (tmp_path / "data" / "db" / name).write_bytes(b"x" * len(whole))
        os.kill(first, signal.SIGKILL)
        until(lambda: outage.summary() == outage.REASONS["corrupted"])
        with pytest.raises(Unavailable, match="files are damaged") as refused:
            await database.ping()
        assert "/" not in str(refused.value)
        reported = problem_of(refused.value)
        assert (reported.problem, reported.detail) == ("unavailable", outage.REASONS["corrupted"])
        for name in ("WiredTiger.turtle", "WiredTiger.wt"):
            (tmp_path / "data" / "db" / name).write_bytes((tmp_path / name).read_bytes())
        until(lambda: outage.summary() is None)
        await database.ping()
        await database.close()


@pytest.mark.parametrize(
    ("returncode", "text", "reason"),
    [
        (-9, "", "killed"),
        (-6, "WiredTiger error: WT_PANIC: the process must exit", "corrupted"),
        (100, "IllegalOperation: Attempted to create a lock file on a read-only directory: db", "permissions"),
        (14, "open: Permission denied (db/WiredTiger.wt)", "permissions"),
        (62, "UPGRADE PROBLEM: Found an invalid featureCompatibilityVersion document", "version"),
        (48, "Failed to set up listener: SocketException: Address already in use", "address"),
        (14, "WiredTiger error: Too many open files", "open files"),
        (127, "error while loading shared libraries: libcurl.so.4", "program"),
        (1, "", "ended"),
    ],
)
def test_reasons_are_told_apart(returncode: int, text: str, reason: str) -> None:
    """Each has its words, for callers of the app too, in both languages."""
    assert outage.reason_of(returncode, text) == reason
    assert texts.worded(outage.REASONS[reason], "es") != outage.REASONS[reason]
