"""Reading as of a moment while others write: each resource once, as it was, and none that came later."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.engine.context import Context, Request, Services
from fhir_server.engine.engine import handle
from fhir_server.r4 import values
from fhir_server.store.database.mongo import Database
from fhir_server.store.resources.as_of import Selection, slice_after

IDS = [f"p{number}" for number in range(12)]


async def write(services: Services, name: str, method: str, number: int) -> None:
    body: Any = None
    if method == "PUT":
        body = values.decode(values.encode({"resourceType": "Basic", "id": name, "code": {"text": str(number)}}))
    await handle(Context(services, "http://x.test/fhir"), Request(method, f"Basic/{name}", [], body))


async def state(services: Services) -> dict[str, int]:
    """Return the version of each live resource."""
    documents = await services.database.current("Basic").find({"method": {"$ne": "DELETE"}}).to_list()
    return {document["_id"]: document["version"] for document in documents}


async def read(services: Services, moment: datetime, size: int) -> list[tuple[str, int]]:
    rows: list[tuple[str, int]] = []
    after: str | None = ""
    while after is not None:
        part = await slice_after(services.resources, Selection("Basic"), moment, after, size)
        rows += [(each.version.id, each.version.version) for each in part.resources]
        after = part.last
        await asyncio.sleep(0)
    return rows


Step = tuple[str, str]
STEPS = st.lists(st.tuples(st.sampled_from(IDS), st.sampled_from(["PUT", "PUT", "DELETE"])), max_size=20)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=STEPS, meanwhile=STEPS, size=st.integers(1, 5))
async def test_it_is_what_was_there(services: Services, before: list[Step], meanwhile: list[Step], size: int) -> None:
    for number, (name, method) in enumerate(before):
        await write(services, name, method, number)
    expected = await state(services)
    moment = await last_time(services.database)

    async def go_on() -> None:
        for number, (name, method) in enumerate(meanwhile):
            await write(services, name, method, 1000 + number)

    rows, _ = await asyncio.gather(read(services, moment, size), go_on())
    assert len(rows) == len(dict(rows)), "each once"
    assert dict(rows) == expected


async def last_time(database: Database) -> datetime:
    """Return the time of the last write, when the clock has gone on."""
    document = await database.current("Basic").find_one({}, sort=[("updated", -1)])
    now = datetime.now(UTC)
    time: datetime = (
        now.replace(microsecond=now.microsecond // 1000 * 1000) if document is None else document["updated"]
    )
    await asyncio.sleep(max(0.0, (time - now).total_seconds()) + 0.002)
    return time


@pytest.mark.parametrize("seed", range(3))
async def test_the_barrier_waits_for_every_write_under_way(services: Services, seed: int) -> None:
    """What is stamped up to the moment is there when the barrier has been passed, and nothing is missed."""
    chance = random.Random(seed)
    written: dict[str, int] = {}
    stop = asyncio.Event()

    async def writer(name: str) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            await write(services, name, "PUT", number)
            written[name] = number
            await asyncio.sleep(chance.uniform(0, 0.003))

    writers = [asyncio.create_task(writer(name)) for name in IDS]
    await asyncio.sleep(0.2)
    moment = datetime.now(UTC)
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    await services.following.barrier()
    first = await read(services, moment, 3)
    await asyncio.sleep(0.2)
    second = await read(services, moment, 5)
    stop.set()
    await asyncio.gather(*writers)
    assert sorted(first) == sorted(second) == sorted(await read(services, moment, 100))
