"""Which nodes of a replica set of three serve what, with and without a primary."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest
from pymongo.monitoring import CommandListener, CommandStartedEvent

from fhir_server.engine import search_parameter_sync
from fhir_server.engine.engine import handle
from fhir_server.http.fhir import FhirApp
from fhir_server.services import services
from fhir_server.settings import Settings
from fhir_server.store.database import mongo
from tests.client import BASE
from tests.store.replica_set import ReplicaSet

READS = [
    "Patient/1",
    "Patient/1/_history/1",
    "Patient/1/_history",
    "Patient/_history",
    "_history",
    "Patient?family=Okafor",
    "Patient?family=Okafor&_sort=birthdate&_total=accurate&_revinclude=Observation:subject",
    "?_type=Patient&_id=1",
    "?_lastUpdated=ge2000",
    "Patient?_summary=count",
]
WITHOUT_PRIMARY = {"primary": 503, "secondaryPreferred": 200, "nearest": 200}
PATIENT = {"resourceType": "Patient", "id": "1", "name": [{"family": "Okafor"}]}


class Asked(CommandListener):
    """Notes which node each command goes to."""

    def __init__(self) -> None:
        self.ports: set[int] = set()

    def started(self, event: CommandStartedEvent) -> None:
        """Note a command on a resource's collections."""
        named = str(event.command.get(event.command_name))
        if event.database_name == "fhir" and not named.startswith("server_"):
            self.ports.add(int(event.connection_id[1] or 0))

    def succeeded(self, event: object) -> None:
        """Note nothing."""

    def failed(self, event: object) -> None:
        """Note nothing."""


@pytest.fixture
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplicaSet]:
    with ReplicaSet(tmp_path_factory.mktemp("three")) as running:
        yield running


@asynccontextmanager
async def _client(three: ReplicaSet, preference: str) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings.model_validate(
        {"open": True, "database_url": f"{three.url}&wTimeoutMS=30000", "read_preference": preference}
    )
    async with services(settings) as shared:
        app = FhirApp(handle, BASE, "/fhir")
        app.services = shared
        headers = {"Content-Type": "application/fhir+json"}
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url=BASE + "/", headers=headers, timeout=60) as client:
            yield client


def _batch(url: str) -> str:
    return json.dumps(
        {"resourceType": "Bundle", "type": "batch", "entry": [{"request": {"method": "GET", "url": url}}]}
    )


async def _until_served(client: httpx.AsyncClient) -> None:
    """Return once the node that serves the client's reads has what was written."""
    while (await client.get("Patient?family=Okafor&_summary=count")).json().get("total") != 1:
        continue


async def test_reads_go_on_without_a_primary(three: ReplicaSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the setting, reads are 200 while no node takes writes, however long; writes, and reads without it, 503."""
    async with AsyncExitStack() as stack:
        clients = {name: await stack.enter_async_context(_client(three, name)) for name in WITHOUT_PRIMARY}
        stored = await clients["primary"].put("Patient/1", content=json.dumps(PATIENT))
        assert stored.status_code == 201
        primary, (_, other) = three.primary(), three.secondaries()
        three.kill(other)
        for client in clients.values():
            await _until_served(client)
        three.kill(primary)
        # As after an outage so long that others count this process as gone.
        monkeypatch.setattr(search_parameter_sync, "FRESH_SECONDS", 0.0)
        for name, client in clients.items():
            for url in READS if WITHOUT_PRIMARY[name] == 200 else READS[:1]:
                answer = await client.get(url)
                assert (name, url, answer.status_code) == (name, url, WITHOUT_PRIMARY[name])
            refused = [
                await client.put("Patient/1", content=json.dumps(PATIENT | {"active": True})),
                await client.post("Patient", content=json.dumps(PATIENT), headers={"If-None-Exist": "_id=1"}),
            ]
            assert [answer.status_code for answer in refused] == [503, 503]
            assert all(int(answer.headers["Retry-After"]) > 0 for answer in refused)
        # The workers take leave of the database.
        three.start(primary)
        three.start(other)
        three.all_caught_up()


async def test_only_reads_are_asked_of_secondaries(three: ReplicaSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each read is served by one secondary; whatever may plan a write, and a bundle, by the primary."""
    requested = Asked()
    monkeypatch.setattr(mongo, "CONNECTION", mongo.CONNECTION | {"event_listeners": [requested]})
    async with _client(three, "secondaryPreferred") as client:
        assert (await client.put("Patient/1", content=json.dumps(PATIENT))).status_code == 201
        three.all_caught_up()
        await _until_served(client)
        served = set()
        for url in READS:
            requested.ports.clear()
            assert (await client.get(url)).status_code == 200
            served |= requested.ports
        assert len(served) == 1
        assert served < set(three.secondaries())
        requested.ports.clear()
        made = await client.post("Patient", content=json.dumps(PATIENT), headers={"If-None-Exist": "family=Okafor"})
        assert made.status_code == 200
        assert (await client.put("Patient?family=Okafor", content=json.dumps(PATIENT))).status_code == 200
        for url in READS[:3]:
            assert (await client.post("", content=_batch(url))).status_code == 200
        assert (await client.get("Patient/1/$everything")).status_code == 200
        assert requested.ports == {three.primary()}
