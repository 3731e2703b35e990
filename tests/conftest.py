"""What tests share: one mongod for the whole run, and a database of its own for each test that asks for one."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog
from argon2 import PasswordHasher
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from fhir_server.auth.accounts import passwords
from fhir_server.store.database.mongo import Database
from fhir_server.store.database.mongod import EmbeddedMongod, join
from tests.databases import Databases
from tests.encrypted import encrypted_where_asked

_PREFIX = "fhir-server-tests-"
_ROOM = 4 * 1024**3
_LONGEST_RUN = 7200.0

pytest_plugins = ["tests.client", "tests.smart_server", "tests.identity_provider"]

# How long an example takes says how busy the machine is.
hypothesis_settings.register_profile("own", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("own")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return what `-n auto` stands for: one worker more than processors, as each waits for the database at times."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(scope="session", autouse=True)
def own_hasher() -> Iterator[PasswordHasher]:
    """Let passwords be hashed at no cost, and yield the server's own hasher.

    Thousands of tests sign somebody up; what a hash costs an attacker is the matter of one.
    """
    own, passwords._hasher = passwords._hasher, PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    yield own
    passwords._hasher = own


@pytest.fixture(autouse=True)
def own_log() -> Iterator[None]:
    """Undo what the test's server set of logging: one that logs critical lines alone would silence the next test's."""
    configuration = structlog.get_config()
    yield
    structlog.configure(**configuration)


@pytest.fixture(scope="session")
def run_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory that all workers of a parallel run share."""
    directory = tmp_path_factory.getbasetemp()
    return directory.parent if "PYTEST_XDIST_WORKER" in os.environ else directory


def _memory_directory(run_directory: Path) -> Path:
    """Return a directory of the run's own in memory, where each write need not wait for a disk; else the run's.

    Tests of what survives a kill have databases of their own, on the disk.
    """
    memory = Path("/dev/shm")
    if not memory.is_dir() or shutil.disk_usage(memory).free < _ROOM:
        return run_directory
    for earlier in memory.glob(f"{_PREFIX}*"):  # what runs that were killed have left
        if time.time() - earlier.stat().st_mtime > _LONGEST_RUN and join(earlier / "mongod") is None:
            shutil.rmtree(earlier, ignore_errors=True)
    return memory / f"{_PREFIX}{hashlib.sha256(str(run_directory).encode()).hexdigest()[:12]}"


@pytest.fixture(scope="session")
def mongod_url(run_directory: Path) -> Iterator[str]:
    """Yield the URL of the run's mongod: the first worker to ask starts it, and ends it when the others are done."""
    data_dir = _memory_directory(run_directory) / "mongod"
    with open(run_directory / "users.lock", "w") as users, open(run_directory / "starting.lock", "w") as starting:
        fcntl.flock(users, fcntl.LOCK_SH)
        fcntl.flock(starting, fcntl.LOCK_EX)
        url, own = join(data_dir), None
        if url is None:
            data_dir.mkdir(parents=True, exist_ok=True)
            own = EmbeddedMongod(data_dir)
            url = own.start()
        fcntl.flock(starting, fcntl.LOCK_UN)
        yield url
        fcntl.flock(users, fcntl.LOCK_UN)
        if own is not None:
            fcntl.flock(users, fcntl.LOCK_EX)
            own.stop()
            shutil.rmtree(data_dir.parent if data_dir.parent != run_directory else data_dir, ignore_errors=True)


@pytest.fixture(scope="session")
def databases(mongod_url: str) -> Iterator[Databases]:
    """Yield the databases that this worker's tests use one after another."""
    made = Databases(mongod_url)
    yield made
    made.close()


@pytest.fixture
def database_name(databases: Databases) -> Iterator[str]:
    """Yield the name of a database that is empty and the test's own."""
    name = databases.take()
    yield name
    databases.give_back(name)


@pytest.fixture
async def database(mongod_url: str, database_name: str) -> AsyncIterator[Database]:
    """Yield a connected, empty database."""
    connected = await Database.connect(mongod_url, database_name)
    await encrypted_where_asked(connected)
    try:
        yield connected
    finally:
        await connected.close()
