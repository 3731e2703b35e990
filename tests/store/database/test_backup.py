"""A backup is one moment of everything, whatever is written meanwhile, and comes back byte by byte or not at all."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import stat
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import encode
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.store.backup import archive, copying, restoring, side_files
from fhir_server.store.backup.archive import Damaged
from fhir_server.store.backup.retention import Retention, prune
from fhir_server.store.database.data_directory import StartupError
from fhir_server.store.database.mongo import Database, Session

WRITERS = 4


async def _everything(database: Database) -> dict[str, Any]:
    """Return the hash of all documents of each collection, with its indexes."""
    collected: dict[str, Any] = {}
    for name in await database.collection_names():
        documents = await database.collection(name).find().sort("_id", 1).to_list()
        indexes = await database.collection(name).index_information()
        collected[name] = (len(documents), hashlib.sha256(b"".join(map(encode, documents))).hexdigest(), indexes)
    return collected


async def _filled(database: Database) -> None:
    await database.ensure(["Patient", "Observation", "SearchParameter"])
    patients = [{"_id": f"p{number}", "version": 1, "keys": ["*"], "text": "x" * 999} for number in range(300)]
    await database.current("Patient").insert_many(patients)
    chunks = [{"files_id": 1, "n": n, "data": os.urandom(255 * 1024)} for n in range(90)]
    await database.collection("fs.chunks").insert_many(chunks)
    await database.collection("tokens").create_index("expires", expireAfterSeconds=0)
    await database.collection("tokens").insert_one({"_id": 1, "expires": datetime(2999, 1, 1, tzinfo=UTC)})


@pytest.fixture
async def restored(mongod_url: str) -> AsyncIterator[Database]:
    """Yield a database in which there is nothing at all, not even a collection."""
    made = await Database.connect(mongod_url, f"restored_{secrets.token_hex(6)}")
    yield made
    await made.drop()
    await made.close()


async def test_what_is_restored_is_what_was(database: Database, restored: Database, tmp_path: Path) -> None:
    """Documents byte by byte, indexes, and collections without either."""
    await _filled(database)
    before = await _everything(database)
    folder = await copying.back_up(database, tmp_path / "data", tmp_path / "backups")
    await restoring.restore(restored, folder, archive.verify(folder))
    assert await _everything(restored) == before
    with pytest.raises(StartupError, match="not empty"):
        await restoring.restore(restored, folder, archive.verify(folder))


async def test_one_moment_beside_writers(database: Database, restored: Database, tmp_path: Path) -> None:
    """Transactions are whole, no writer's versions have a gap, and what was acknowledged before is there."""
    await _filled(database)
    stop = asyncio.Event()
    acknowledged = dict.fromkeys(range(WRITERS), 0)

    async def write(writer: int) -> None:
        while not stop.is_set():
            version = acknowledged[writer] + 1

            async def both(session: Session, version: int = version) -> None:
                document = {"_id": f"w{writer}", "version": version}
                await database.current("Observation").replace_one(
                    {"_id": f"w{writer}"}, document, True, session=session
                )
                old = {"_id": f"w{writer}-{version}", "id": f"w{writer}", "version": version}
                await database.history("Observation").insert_one(old, session=session)

            await database.transaction(both, ["Observation"])
            acknowledged[writer] = version

    writers = [asyncio.create_task(write(writer)) for writer in range(WRITERS)]
    while min(acknowledged.values()) < 5:
        await database.ping()
    at_least = dict(acknowledged)
    folder = await copying.back_up(database, tmp_path / "data", tmp_path / "backups")
    stop.set()
    await asyncio.gather(*writers)
    await restoring.restore(restored, folder, archive.verify(folder))
    for writer, least in at_least.items():
        current = await restored.current("Observation").find_one({"_id": f"w{writer}"})
        history = await restored.history("Observation").find({"id": f"w{writer}"}).sort("version", 1).to_list()
        assert current is not None
        assert [each["version"] for each in history] == list(range(1, current["version"] + 1))
        assert least <= current["version"] <= acknowledged[writer]


async def test_files_are_their_owners_alone(database: Database, tmp_path: Path) -> None:
    """Folders 0700, files 0600, whatever the umask; nothing else is left in the target."""
    await _filled(database)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / side_files.KEY).write_bytes(b"k" * 32)
    (tmp_path / "backups").mkdir()
    (tmp_path / "backups" / ".fhir-x.partial").mkdir()
    old = os.umask(0)
    try:
        folder = await copying.back_up(database, tmp_path / "data", tmp_path / "backups")
    finally:
        os.umask(old)
    assert list((tmp_path / "backups").iterdir()) == [folder]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert restoring.contents(folder, archive.verify(folder)) == {side_files.KEY: b"k" * 32}


async def test_damage_is_found(database: Database, tmp_path: Path) -> None:
    """A changed byte, a file that is cut off, missing or one too many: each is named."""
    await _filled(database)
    folder = await copying.back_up(database, tmp_path / "data", tmp_path / "backups")
    assert archive.verify(folder).documents > 390
    for path in sorted(folder.iterdir()):
        whole = path.read_bytes()
        for damaged in (whole[:-1], whole[: len(whole) // 2], bytes([*whole[:-3], whole[-3] ^ 1, *whole[-2:]]), b""):
            path.write_bytes(damaged)
            with pytest.raises(Damaged):
                archive.verify(folder)
        path.unlink()
        with pytest.raises(Damaged):
            archive.verify(folder)
        path.write_bytes(whole)
    (folder / "more").touch()
    with pytest.raises(Damaged, match="more"):
        archive.verify(folder)
    (folder / "more").unlink()
    archive.verify(folder)
    with pytest.raises(Damaged, match="not a backup"):
        archive.verify(tmp_path)


async def test_a_half_restored_database_is_refused(database: Database, restored: Database, tmp_path: Path) -> None:
    """A restore that was broken off leaves a mark."""
    await _filled(database)
    folder = await copying.back_up(database, tmp_path / "data", tmp_path / "backups")

    def broken_off(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await restoring.restore(restored, folder, archive.verify(folder), broken_off)
    with pytest.raises(StartupError, match="Restore it again"):
        await restoring.require_whole(restored)
    await restoring.require_whole(database)


@given(st.lists(st.integers(0, 900 * 24), max_size=60), st.integers(1, 9), st.integers(0, 6), st.integers(0, 14))
def test_retention(hours: list[int], daily: int, weekly: int, monthly: int) -> None:
    """The newest is kept, never more than asked for, and of each day, week and month in question the last."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    moments = {start + timedelta(hours=each) for each in hours}
    kept = Retention(daily, weekly, monthly).kept(moments)
    assert kept <= moments
    assert len(kept) <= daily + weekly + monthly
    if moments:
        assert max(moments) in kept
        days = sorted({each.date() for each in moments})[-daily:]
        assert {max(each for each in moments if each.date() == day) for day in days} <= kept
        months = sorted({(each.year, each.month) for each in moments}, reverse=True)[:monthly]
        assert {max(each for each in moments if (each.year, each.month) == month) for month in months} <= kept


def test_pruning_leaves_what_is_no_backup(tmp_path: Path) -> None:
    """Only whole backups are counted and removed."""
    for day in range(1, 21):
        with archive.new_backup(tmp_path, datetime(2026, 1, day, 12, tzinfo=UTC)) as folder:
            (folder / "manifest.json").touch()
    (tmp_path / "fhir-notes").mkdir()
    removed = prune(tmp_path, Retention(3, 1, 1))
    assert len(removed) == 17
    assert [moment.day for moment in archive.backups_of(tmp_path)] == [18, 19, 20]
    assert (tmp_path / "fhir-notes").is_dir()
