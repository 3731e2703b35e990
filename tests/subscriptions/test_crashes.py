"""The promise: each acknowledged write is told, in order and with numbers without gaps, whatever is broken off when."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from fhir_server.engine.context import Services
from fhir_server.engine.engine import handle
from fhir_server.http.fhir import FhirApp
from fhir_server.jobs.subscriptions import Deliveries, feed, match
from fhir_server.services import services_on
from fhir_server.settings import Settings
from fhir_server.store.database.mongo import Database
from fhir_server.store.work import subscriptions
from fhir_server.store.work.subscriptions import SubscriptionStore
from fhir_server.work.ending import end
from tests.client import BASE
from tests.server.running import RunningServer
from tests.subscriptions.conftest import created, observation, subscription
from tests.subscriptions.receiver import Receiver

KILLS = 200
WRITERS = 2


@pytest.fixture
async def shared(database: Database, tmp_path: Path) -> Services:
    """The services of an open server, whose jobs the test runs."""
    return await services_on(database, Settings(open=True, allow_internal_urls=True, data_dir=tmp_path))


@pytest.fixture
async def client(shared: Services) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client whose base is the FHIR base."""
    app = FhirApp(handle, BASE, "/fhir")
    app.services = shared
    headers = {"Content-Type": "application/fhir+json"}
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url=BASE + "/", headers=headers) as made:
        yield made


async def write(client: httpx.AsyncClient, acknowledged: list[str], until: asyncio.Event) -> None:
    """Create and change Observations, alone and in transactions; note each version that was acknowledged."""
    while not until.is_set():
        with contextlib.suppress(httpx.HTTPError):
            answer = await client.post("Observation", json=observation("1"))
            if answer.status_code != 201:
                continue
            stored = answer.json()
            acknowledged.append(f"{stored['id']}/1")
            answer = await client.put(f"Observation/{stored['id']}", json={**stored, "status": "amended"})
            if answer.status_code == 200:
                acknowledged.append(f"{stored['id']}/2")
            entry = {"resource": observation("1"), "request": {"method": "POST", "url": "Observation"}}
            bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry] * 2}
            answer = await client.post("", json=bundle)
            if answer.status_code == 200:
                places = [each["response"]["location"].split("/") for each in answer.json()["entry"]]
                acknowledged += [f"{place[-3]}/1" for place in places]
        await asyncio.sleep(0.3)


def told(receiver: Receiver) -> list[tuple[int, str]]:
    """Return each event that arrived, once, as its number and version, in the order of its first arrival."""
    collected: dict[tuple[int, str], None] = {}
    for each in receiver.received:
        number = int(each.headers["webhook-id"].rpartition("_")[2])
        version = each.body.partition(b'"versionId":"')[2].partition(b'"')[0].decode()
        collected[number, f"{each.path.rpartition('/')[2]}/{version}"] = None
    return list(collected)


def require_kept(receiver: Receiver, acknowledged: list[str]) -> None:
    """Fail unless all was told, each version once by its number, without gaps and in order."""
    events = told(receiver)
    assert [number for number, _ in events] == list(range(1, len(events) + 1))
    versions = [version for _, version in events]
    assert len(set(versions)) == len(versions)
    assert set(acknowledged) <= set(versions)
    for version in versions:
        if version.endswith("/2"):
            assert versions.index(version.replace("/2", "/1")) < versions.index(version)


async def until_told(receiver: Receiver, acknowledged: list[str]) -> None:
    """Wait until every acknowledged version has arrived."""
    async with asyncio.timeout(180):
        while not set(acknowledged) <= {version for _, version in told(receiver)}:
            await receiver.wait_for(len(receiver.received) + 1)


async def test_nothing_is_lost_when_workers_are_broken_off(
    shared: Services, client: httpx.AsyncClient, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever finds and delivers is ended 200 times, at any point between the write and its delivery."""
    monkeypatch.setattr(subscriptions, "LEASE_SECONDS", 0.2)
    monkeypatch.setattr(SubscriptionStore, "let_go", lambda *_: asyncio.sleep(0))  # who is killed lets nothing go
    store = SubscriptionStore(shared.database)
    await store.prepare()
    await feed(shared).begin()
    payload = "application/fhir+json"
    await created(client, subscription(receiver.url, "Observation", payload=payload))
    acknowledged: list[str] = []
    until, chance = asyncio.Event(), random.Random(7)
    writing = asyncio.create_task(write(client, acknowledged, until))
    for _ in range(KILLS):
        finding = asyncio.create_task(match(shared, BASE, store))
        delivering = Deliveries(shared, BASE)
        delivering.start()
        await asyncio.sleep(chance.uniform(0.0, 0.08))
        await end(finding)
        await delivering.stop()
    until.set()
    await writing
    finding = asyncio.create_task(match(shared, BASE, store))
    delivering = Deliveries(shared, BASE)
    delivering.start()
    await until_told(receiver, acknowledged)
    await end(finding)
    await delivering.stop()
    require_kept(receiver, acknowledged)


async def test_nothing_is_lost_when_server_and_database_are_killed(tmp_path: Path, receiver: Receiver) -> None:
    """A real server and its mongod are killed under writes; after the next start all that was acknowledged is told."""
    acknowledged: list[str] = []
    for round_ in range(3):
        with RunningServer(tmp_path / "data", allow_internal_urls="true") as server:
            async with httpx.AsyncClient(base_url=server.base_url, timeout=10) as http:
                if round_ == 0:
                    payload = "application/fhir+json"
                    await created(http, subscription(receiver.url, "Observation", payload=payload))
                if round_ == 2:
                    await until_told(receiver, acknowledged)
                    break
                until = asyncio.Event()
                writers = [asyncio.create_task(write(http, acknowledged, until)) for _ in range(WRITERS)]
                await receiver.wait_for(len(receiver.received) + 20)
                await asyncio.to_thread(server.kill)
                until.set()
                await asyncio.gather(*writers)
    require_kept(receiver, acknowledged)
