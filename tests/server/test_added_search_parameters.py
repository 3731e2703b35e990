"""A search parameter added to a running server: agreed on by its workers, and brought to its end after a kill -9."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pymongo

from fhir_server.store.database.mongod import join
from tests.jobs.conftest import BLUE, eyes
from tests.server.running import RunningServer

PATIENT = {"resourceType": "Patient"} | BLUE
STRICT = {"Prefer": "handling=strict"}
WITHIN_SECONDS = 120.0


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until the condition holds; fails where it never does."""
    async with asyncio.timeout(WITHIN_SECONDS):
        while not await condition():  # noqa: ASYNC110 - it is another process that is waited for
            await asyncio.sleep(0.02)


async def post(server: RunningServer, count: int, resource: dict[str, Any] = PATIENT) -> set[str]:
    """Create so many resources in one transaction, and return their ids."""
    entry = {"resource": resource, "request": {"method": "POST", "url": resource["resourceType"]}}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry] * count}
    async with httpx.AsyncClient(timeout=60) as client:
        answer = await client.post(server.base_url, json=bundle)
    assert answer.status_code == 200, answer.text
    return {each["response"]["location"].rsplit("/", 3)[1] for each in answer.json()["entry"]}


async def found(server: RunningServer) -> set[str] | None:
    """Return the ids that a search finds on one of the workers; None while that refuses the parameter."""
    ids: set[str] = set()
    url: str | None = f"{server.base_url}Patient?eyes=blue&_count=1000&_elements=id"
    async with httpx.AsyncClient(timeout=60, headers=STRICT) as client:
        while url is not None:
            answer = await client.get(url)
            if answer.status_code == 400:
                return None
            page = answer.raise_for_status().json()
            ids |= {each["resource"]["id"] for each in page.get("entry", [])}
            url = next((link["url"] for link in page["link"] if link["relation"] == "next"), None)
    return ids


async def test_no_worker_searches_by_what_another_does_not_write(tmp_path: Path) -> None:
    """While two workers learn of a parameter, patients are created all the time; whoever searches finds them all."""
    with RunningServer(tmp_path / "data", "--workers", "2") as server:
        acknowledged = await post(server, 300)
        answered, stop = [0], asyncio.Event()

        async def writing() -> None:
            while not stop.is_set():
                acknowledged.update(await post(server, 2))

        async def searching() -> None:
            while not stop.is_set():
                before = set(acknowledged)
                ids = await found(server)
                if ids is not None:
                    assert before <= ids
                    answered[0] += 1

        async def enough() -> bool:
            return answered[0] >= 10

        tasks = [asyncio.create_task(each()) for each in (writing, writing, searching, searching)]
        await post(server, 1, eyes())
        try:
            await until(enough)
        finally:
            stop.set()
            await asyncio.gather(*tasks)


async def test_indexing_goes_on_after_a_kill(tmp_path: Path) -> None:
    """Killed with its mongod in the middle of the indexing, the server goes on when it is started again."""
    data_dir = tmp_path / "data"
    with RunningServer(data_dir) as server:
        acknowledged = set[str]()
        for _ in range(4):
            acknowledged |= await post(server, 500)
        await post(server, 1, eyes())
        with pymongo.MongoClient[dict[str, Any]](join(data_dir)) as client:

            async def begun() -> bool:
                state = client["fhir"]["server_state"].find_one({"_id": "search-parameters"}) or {}
                return bool((state.get("running") or {}).get("done"))

            await until(begun)
        server.kill()
    with RunningServer(data_dir) as server:

        async def used() -> bool:
            with contextlib.suppress(httpx.TransportError):
                return await found(server) is not None
            return False

        await until(used)
        assert await found(server) == acknowledged
