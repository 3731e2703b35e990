"""A Subscription opens nothing that its owner may not read, then or later, and is nobody else's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fhir_server.store.database.mongo import Database
from tests.smart_server import SmartServer, smart_server
from tests.subscriptions.conftest import created, lab, observation, receiver, subscription, until_status
from tests.subscriptions.receiver import Receiver

__all__ = ["lab", "receiver"]


@pytest.fixture
async def server(database: Database, mongod_url: str, tmp_path: Path) -> AsyncIterator[SmartServer]:
    """Yield a server whose partners live in this network."""
    async with smart_server(mongod_url, database.name, tmp_path, allow_internal_urls=True) as made:
        yield made


@pytest.fixture
async def patients(server: SmartServer, lab: httpx.AsyncClient) -> dict[str, httpx.AsyncClient]:
    """Two patients with an app each."""
    clients = {}
    for name in ("ann", "ben"):
        await lab.put(f"Patient/{name}", json={"resourceType": "Patient", "id": name})
        await server.add_user(name, "patient", f"Patient/{name}")
        clients[name] = server.fhir(await server.token_for(name, "launch/patient patient/*.cruds offline_access"))
    return clients


def of(patient: str, code: str = "1") -> dict[str, Any]:
    """Return an Observation of a patient."""
    return observation(code, subject={"reference": f"Patient/{patient}"})


async def test_a_patient_is_told_of_the_own_record_alone(
    patients: dict[str, httpx.AsyncClient], lab: httpx.AsyncClient, receiver: Receiver
) -> None:
    """Criteria that match everybody tell of the own compartment, and numbers tell nothing of others."""
    payload = "application/fhir+json"
    made = await created(patients["ann"], subscription(receiver.url, "Observation", payload=payload))
    for patient in ("ben", "ann", "ben", "ann"):
        await created(lab, of(patient))
    received = await receiver.wait_for(2)
    assert [each.headers["webhook-id"] for each in received] == [f"{made['id']}_1", f"{made['id']}_2"]
    assert all(b"Patient/ann" in each.body for each in received)


async def test_a_subscription_is_its_owners(
    patients: dict[str, httpx.AsyncClient], server: SmartServer, receiver: Receiver
) -> None:
    """Another patient neither sees nor changes it; a service may turn it off, and no more."""
    made = await created(patients["ann"], subscription(receiver.url, "Observation", header=["X-Key: 12345"]))
    path = f"Subscription/{made['id']}"
    ben = patients["ben"]
    assert (await ben.get(path)).status_code == 404
    assert (await ben.get("Subscription")).json()["total"] == 0
    assert (await ben.get(f"{path}/_history")).status_code in (403, 404)
    assert (await ben.put(path, json=made)).status_code == 404
    assert (await ben.delete(path)).status_code in (204, 404)
    active = await until_status(patients["ann"], made["id"], "active")
    service = server.fhir(await server.system_token("system/*.cruds"))
    elsewhere = {**active, "channel": {**active["channel"], "endpoint": "https://evil.example/hook"}}
    assert (await service.put(path, json=elsewhere)).status_code == 403
    assert (await service.put(path, json={**active, "criteria": "Patient"})).status_code == 403
    assert (await service.put(path, json={**active, "status": "off"})).status_code == 200
    assert (await patients["ann"].get(path)).json()["status"] == "off"


async def test_criteria_beyond_the_scope_are_refused(server: SmartServer, receiver: Receiver) -> None:
    """Whoever may not search and read a type cannot subscribe to it."""
    token = await server.system_token("system/Subscription.cruds system/Observation.rs system/Patient.r")
    service = server.fhir(token)
    for criteria in ("Patient", "Condition?code=1", "AuditEvent"):
        answer = await service.post("Subscription", json=subscription(receiver.url, criteria))
        assert answer.status_code in (403, 422), criteria
    assert (await service.post("Subscription", json=subscription(receiver.url, "Observation"))).status_code == 201


_UNDECIDED = (
    "Observation?subject:Patient.name=x",
    "Observation?patient.name=x",
    "Patient?_has:Observation:patient:code=1",
    "Observation?_list=1",
    "Observation?code:in=http://example.org/vs",
    "Observation?_sort=date",
    "Observation?_include=Observation:subject",
    "Observation?_count=5",
    "Observation?_format=json",
    "Observation?nonsense=1",
    "Observation?date=yesterday",
    "Nonsense?code=1",
    "?_type=Patient",
    "AuditEvent?action=C",
)


async def test_criteria_that_cannot_be_decided_are_refused(lab: httpx.AsyncClient, receiver: Receiver) -> None:
    """What one version alone does not decide, or would do nothing, is refused at its place."""
    for criteria in _UNDECIDED:
        answer = await lab.post("Subscription", json=subscription(receiver.url, criteria))
        assert answer.status_code == 422, criteria
        assert answer.json()["issue"][0]["expression"] == ["Subscription.criteria"]


async def test_a_revoked_grant_ends_it(
    patients: dict[str, httpx.AsyncClient], server: SmartServer, lab: httpx.AsyncClient, receiver: Receiver
) -> None:
    """When the grant is gone nothing more is sent, and the Subscription says so."""
    made = await created(patients["ann"], subscription(receiver.url, "Observation"))
    await created(lab, of("ann"))
    await receiver.wait_for(1)
    grants = await server.services.database.collection("oauth_grants").find({"revoked": False}).to_list()
    for grant in grants:
        await server.store.grants.revoke_grant(grant["_id"])
    await created(lab, of("ann"))
    stopped = await until_status(lab, made["id"], "error")
    assert "event 2" in stopped["error"]
    assert len(receiver.received) == 1


_INTERNAL = (
    "https://127.0.0.1/x", "https://localhost/x", "https://[::1]/x", "https://10.0.0.1/x", "https://169.254.169.254/",
    "https://[::ffff:10.0.0.1]/x", "http://example.org/x", "ftp://example.org/x", "file:///etc/passwd", "/x", "",
    "https://user:password@example.org/x", "https://example.org:99999/x", "https://example.org/x#y",
    "https://a b/x", "https://service.internal/x",
)  # fmt: skip


async def test_internal_endpoints_are_refused(smart: SmartServer) -> None:
    """Without ALLOW_INTERNAL_URLS an endpoint is an https URL on the public Internet."""
    client = smart.fhir(await smart.system_token("system/*.cruds"))
    for endpoint in _INTERNAL:
        answer = await client.post("Subscription", json=subscription(endpoint, "Observation"))
        assert answer.status_code == 422, endpoint


async def test_headers_that_are_the_servers_own_are_refused(lab: httpx.AsyncClient, receiver: Receiver) -> None:
    """A header neither splits the request nor says what the server says."""
    for header in ("Host: evil", "Content-Length: 0", "no colon", "X: a\r\nY: b", "webhook-id: 1"):
        answer = await lab.post("Subscription", json=subscription(receiver.url, "Observation", header=[header]))
        assert answer.status_code == 422, header


async def test_a_hidden_header_goes_nowhere_else(
    server: SmartServer, lab: httpx.AsyncClient, receiver: Receiver
) -> None:
    """A header that was read as hidden can be left as it is by its owner, and brings nobody else the secret."""
    made = await created(lab, subscription(receiver.url, "Observation", header=["X-Key: 12345"]))
    active = await until_status(lab, made["id"], "active")
    assert (await lab.put(f"Subscription/{made['id']}", json={**active, "reason": "Another"})).status_code == 200
    await until_status(lab, made["id"], "active")
    await created(lab, observation("1"))
    (received,) = await receiver.wait_for(1)
    assert received.headers["x-key"] == "12345"
    other = server.fhir(await server.system_token("system/*.cruds"))
    copied = await created(other, {**active, "channel": {**active["channel"], "endpoint": f"{receiver.url}/copied"}})
    await created(lab, observation("1"))
    stopped = await until_status(lab, copied["id"], "error")
    assert "X-Key" in stopped["error"]
    assert not [each for each in receiver.received if each.path.endswith("copied")]
