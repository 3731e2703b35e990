"""What is acknowledged has a majority, on a replica set of three whose primary is cut off and then killed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from fhir_server.engine.engine import handle
from fhir_server.http.fhir import FhirApp
from fhir_server.services import services_on
from fhir_server.settings import Settings
from fhir_server.store.database.mongo import Database
from tests.client import BASE
from tests.store.replica_set import ReplicaSet

IDENTIFIER = "identifier=urn:s|1"


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplicaSet]:
    with ReplicaSet(tmp_path_factory.mktemp("three")) as running:
        yield running


@pytest.fixture
async def client(three: ReplicaSet) -> AsyncIterator[httpx.AsyncClient]:
    patient = await Database.connect(f"{three.url}&wTimeoutMS=30000")
    await services_on(patient, Settings(open=True))
    await patient.ensure(["Patient"])
    await patient.close()
    database = await Database.connect(f"{three.url}&wTimeoutMS=1000")
    app = FhirApp(handle, BASE, "/fhir")
    app.services = await services_on(database, Settings(open=True))
    transport = httpx.ASGITransport(app=app)
    headers = {"Content-Type": "application/fhir+json"}
    async with httpx.AsyncClient(transport=transport, base_url=BASE + "/", headers=headers, timeout=60) as made:
        yield made
    await database.close()


def _patient(name: str, **content: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": name, **content}


def _bundle(kind: str, method: str, url: str, resource: Any = None, **more: Any) -> dict[str, Any]:
    entry = {"request": {"method": method, "url": url, **more}} | ({"resource": resource} if resource else {})
    return {"resourceType": "Bundle", "type": kind, "entry": [entry]}


_TAG = {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"tag": [{"code": "t"}]}}]}
_MADE = {"resourceType": "Patient", "identifier": [{"system": "urn:s", "value": "1"}]}

WRITES: dict[str, tuple[str, str, Any, dict[str, str]]] = {
    "update": ("PUT", "Patient/updated", _patient("updated", active=True), {}),
    "update as create": ("PUT", "Patient/new", _patient("new"), {}),
    "delete": ("DELETE", "Patient/deleted", None, {}),
    "conditional delete": ("DELETE", "Patient?_id=selected", None, {}),
    "conditional create": ("POST", "Patient", _MADE, {"If-None-Exist": IDENTIFIER}),
    "conditional update": ("PUT", "Patient?_id=found", _patient("found", active=True), {}),
    "$meta-add": ("POST", "Patient/tagged/$meta-add", _TAG, {}),
    "batch": ("POST", "", _bundle("batch", "PUT", "Patient/batch", _patient("batch")), {}),
    "transaction": ("POST", "", _bundle("transaction", "PUT", "Patient/whole", _patient("whole")), {}),
    "transaction's conditional create": (
        "POST",
        "",
        _bundle("transaction", "POST", "Patient", _MADE, ifNoneExist=IDENTIFIER),
        {},
    ),
    "transaction's delete": ("POST", "", _bundle("transaction", "DELETE", "Patient/deleted"), {}),
}


async def _status(client: httpx.AsyncClient, name: str) -> int:
    method, url, body, headers = WRITES[name]
    content = None if body is None else json.dumps(body)
    answer = await client.request(method, url, content=content, headers=headers)
    if answer.status_code == 503:
        assert int(answer.headers["Retry-After"]) > 0
    if answer.status_code == 200 and answer.json().get("type") == "batch-response":
        return int(answer.json()["entry"][0]["response"]["status"][:3])
    return answer.status_code


async def test_a_condition_stays_with_a_holder_that_no_majority_has_yet(
    three: ReplicaSet, client: httpx.AsyncClient
) -> None:
    """A conditional create tried again and again without a majority makes one resource, not one for each attempt."""
    made = {"resourceType": "Patient", "identifier": [{"system": "urn:s", "value": "again"}]}
    condition = {"If-None-Exist": "identifier=urn:s|again"}
    three.cut_off(three.primary())
    for _ in range(4):
        assert (await client.post("Patient", content=json.dumps(made), headers=condition)).status_code == 503
    three.reconnect()
    while (answer := await client.post("Patient", content=json.dumps(made), headers=condition)).status_code == 503:
        continue
    assert answer.status_code == 200
    assert (await client.get("Patient?identifier=urn:s|again&_summary=count")).json()["total"] == 1


async def test_nothing_is_acknowledged_that_no_majority_has(three: ReplicaSet, client: httpx.AsyncClient) -> None:
    """A write that no majority takes is 503 and so is the same again, though it finds what the first one wrote."""
    for name in ("updated", "deleted", "selected", "found", "tagged"):
        assert (await client.put(f"Patient/{name}", content=json.dumps(_patient(name)))).status_code == 201
    three.cut_off(three.primary())
    for _ in ("first", "again"):
        statuses = await asyncio.gather(*(_status(client, name) for name in WRITES))
        assert {name: status for name, status in zip(WRITES, statuses, strict=True) if status != 503} == {}
    three.reconnect()
    for name in WRITES:
        while await _status(client, name) == 503:  # until the nodes have caught up
            continue
        assert await _status(client, name) in (200, 204)
