"""Versions of resources while the database, and it alone, is killed again and again."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from fhir_server.errors import Unavailable
from fhir_server.store.database.mongo import Database
from fhir_server.store.database.mongod import EmbeddedMongod
from fhir_server.store.resources.resources import ResourceStore
from tests.store.drafts import draft

WRITERS = 8
KILLS = 2
WRITES_BETWEEN = 200


class _Writing:
    """Writers that update a resource each and note what they were promised."""

    def __init__(self, store: ResourceStore) -> None:
        self.store = store
        self.acknowledged: dict[str, dict[int, bytes]] = {}
        self.count = 0
        self.enough = asyncio.Event()
        self.wanted = WRITES_BETWEEN
        self.done = False

    async def write(self, name: str) -> None:
        promised = self.acknowledged[name] = {}
        number = 0
        while not self.done:
            number += 1
            try:
                previous = await self.store.read("Patient", name)
                made = draft(name, previous, multipleBirthInteger=number)
                if previous is None:
                    await self.store.insert(made)
                elif not await self.store.replace(made, previous):
                    continue
            except Unavailable:
                continue
            promised[made.version] = made.json
            self.count += 1
            if self.count >= self.wanted:
                self.enough.set()

    async def reach(self, count: int) -> None:
        self.wanted = count
        self.enough.clear()
        await self.enough.wait()


async def test_no_acknowledged_version_is_lost_when_mongod_alone_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the copy into history and the replacement, mongod has every version that was promised."""
    with EmbeddedMongod(tmp_path / "data") as mongod:
        database = await Database.connect(mongod.url)
        store = ResourceStore(database)
        copied = store._copies.ask

        async def copied_long_before(resource_type: str, versions: Any) -> Any:
            answer = await copied(resource_type, versions)
            await asyncio.sleep(0.02)
            return answer

        monkeypatch.setattr(store._copies, "ask", copied_long_before)
        writing = _Writing(store)
        writers = [asyncio.create_task(writing.write(f"p{number}")) for number in range(WRITERS)]
        for _ in range(KILLS):
            await writing.reach(writing.count + WRITES_BETWEEN)
            assert mongod.pid
            os.kill(mongod.pid, signal.SIGKILL)
        await writing.reach(writing.count + WRITES_BETWEEN)
        writing.done = True
        await asyncio.gather(*writers)
        lost = [
            f"{name}/{version}"
            for name, versions in writing.acknowledged.items()
            for version, json in versions.items()
            if getattr(await store.read_version("Patient", name, version), "json", None) != json
        ]
        await database.close()
    assert lost == []
