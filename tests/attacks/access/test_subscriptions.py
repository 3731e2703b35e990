"""A Subscription opens nothing that its owner may not read, then or later, and is nobody else's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fhir_server.jobs.subscriptions import AT_ONCE
from fhir_server.store.database.mongo import Database
from tests.smart_server import SmartServer, smart_server
from tests.subscriptions.conftest import created, lab, observation, receiver, subscription, until, until_status
from tests.subscriptions.receiver import Receiver, receiving

__all__ = ["lab", "receiver"]

BACKPORT = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/"
HL7 = "http://hl7.org/fhir/StructureDefinition/"


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
    "Observation?code=%ff",
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


async def test_a_hidden_header_does_not_follow_to_another_host(lab: httpx.AsyncClient, receiver: Receiver) -> None:
    """Who leads a Subscription elsewhere, with a stolen token, does not get the credentials of the first receiver."""
    made = await created(lab, subscription(receiver.url, "Observation", header=["Authorization: Bearer 12345"]))
    active = await until_status(lab, made["id"], "active")
    path = f"Subscription/{made['id']}"
    async with receiving() as elsewhere:
        led = {**active, "channel": {**active["channel"], "endpoint": elsewhere.url}}
        assert (await lab.put(path, json=led)).status_code == 200
        await created(lab, observation("1"))
        stopped = await until_status(lab, made["id"], "error")
        assert "the header Authorization" in stopped["error"]
        assert not elsewhere.received
        led["channel"]["header"] = ["Authorization: Bearer 67890"]
        assert (await lab.put(path, json={**led, "status": "requested"})).status_code == 200
        received = await elsewhere.wait_for(1)
        assert received[0].headers["authorization"] == "Bearer 67890"


_ABSENT = {"extension": [{"url": f"{HL7}data-absent-reason", "valueCode": "unknown"}]}


async def test_values_that_are_absent_are_told(lab: httpx.AsyncClient, receiver: Receiver) -> None:
    """FHIR allows an extension instead of a required value; without the value nothing can be carried out."""
    whole = subscription(receiver.url, "Observation", header=["X-Key: 12345"])
    for name in ("status", "criteria"):
        answer = await lab.post("Subscription", json={**_without(whole, name), f"_{name}": _ABSENT})
        assert answer.status_code == 422
        assert answer.json()["issue"][0]["expression"] == [f"Subscription.{name}"]
    untyped = {**_without(whole["channel"], "type"), "_type": _ABSENT}
    assert (await lab.post("Subscription", json={**whole, "channel": untyped})).status_code == 422
    made = await created(lab, whole)
    nameless = {**whole["channel"], "header": [None, "A: b"], "_header": [_ABSENT, None]}
    answer = await lab.put(f"Subscription/{made['id']}", json={**made, "channel": nameless})
    assert answer.status_code == 422
    assert answer.json()["issue"][0]["expression"] == ["Subscription.channel.header[0]"]


async def test_a_stranger_cannot_be_harmful_by_what_is_absent(
    patients: dict[str, httpx.AsyncClient], lab: httpx.AsyncClient, receiver: Receiver
) -> None:
    """Somebody else's Subscription with absent headers is refused like any other change."""
    made = await created(patients["ann"], subscription(receiver.url, "Observation", header=["X-Key: 12345"]))
    nameless = {**made["channel"], "header": [None], "_header": [_ABSENT]}
    answer = await lab.put(f"Subscription/{made['id']}", json={**made, "channel": nameless})
    assert answer.status_code == 403


def _without(element: dict[str, Any], name: str) -> dict[str, Any]:
    return {each: value for each, value in element.items() if each != name}


async def test_a_payload_says_what_is_sent(lab: httpx.AsyncClient, receiver: Receiver) -> None:
    """Parameters of the media type become a header: those that are untrue or no ASCII are refused."""
    for parameters in ("charset=utf-16", "é", "a\u2028b", "fhirVersion=3.0", "charset=utf-8;x=y"):
        payload = f"application/fhir+json; {parameters}"
        answer = await lab.post("Subscription", json=subscription(receiver.url, "Observation", payload=payload))
        assert answer.status_code == 422, parameters
        assert answer.json()["issue"][0]["expression"] == ["Subscription.channel.payload"]
    payload = "application/fhir+json; charset=UTF-8; fhirVersion=4.0"
    await created(lab, subscription(receiver.url, "Observation", payload=payload))


async def test_deleted_ones_come_back_within_the_limit(
    database: Database, mongod_url: str, tmp_path: Path, receiver: Receiver
) -> None:
    """A PUT to the id of a deleted Subscription makes one more, which is counted."""
    async with smart_server(
        mongod_url, database.name, tmp_path, allow_internal_urls=True, max_subscriptions=2
    ) as server:
        service = server.fhir(await server.system_token("system/*.cruds"))
        deleted = []
        for _ in range(3):
            made = await created(service, subscription(receiver.url, "Observation"))
            assert (await service.delete(f"Subscription/{made['id']}")).status_code == 204
            deleted.append(made)
        answers = [await service.put(f"Subscription/{made['id']}", json=made) for made in deleted]
        assert [answer.status_code for answer in answers] == [201, 201, 429]


async def test_what_is_read_and_not_answered_is_in_the_trail(
    patients: dict[str, httpx.AsyncClient], server: SmartServer, lab: httpx.AsyncClient
) -> None:
    """A receiver that takes the data and closes the connection leaves an event of what it has got."""

    async def close_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    silent = await asyncio.start_server(close_at_once, "127.0.0.1", 0)
    endpoint = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}/"
    await created(patients["ann"], subscription(endpoint, "Observation", payload="application/fhir+json"))
    made = await created(lab, of("ann"))
    auditor = server.fhir(await server.system_token("system/AuditEvent.rs"))

    async def told() -> list[dict[str, Any]]:
        answer = await auditor.get("AuditEvent?subtype=notification&patient=Patient/ann")
        return [entry["resource"] for entry in answer.json().get("entry", ())]

    events = await until(told)
    assert f"Observation/{made['id']}" in json.dumps(events[0])
    assert events[0]["outcome"] != "0"
    silent.close()


async def test_one_client_cannot_take_all_places(
    server: SmartServer, lab: httpx.AsyncClient, receiver: Receiver
) -> None:
    """However many slow receivers a client has, others are told meanwhile."""
    endless = await asyncio.start_server(lambda *_: asyncio.sleep(60), "127.0.0.1", 0)
    timeout = {"url": f"{BACKPORT}backport-timeout", "valueUnsignedInt": 30}
    slow = subscription(f"http://127.0.0.1:{endless.sockets[0].getsockname()[1]}/", "Observation", extension=[timeout])
    entry = {"resource": slow, "request": {"method": "POST", "url": "Subscription"}}
    batch = {"resourceType": "Bundle", "type": "batch", "entry": [entry] * (AT_ONCE + 4)}
    made = (await lab.post("", json=batch)).json()["entry"]
    assert {each["response"]["status"] for each in made} == {"201 Created"}
    await created(lab, observation("1"))
    other = server.fhir(await server.system_token("system/*.cruds"))
    theirs = await created(other, subscription(receiver.url, "Observation"))
    await until_status(other, theirs["id"], "active")
    await created(lab, observation("2"))
    await receiver.wait_for(1)
    endless.close()


async def test_a_lesser_token_of_the_owner_binds_no_socket(server: SmartServer) -> None:
    """What a Subscription tells by websocket goes to a token with its rights, and to no other of the same client."""
    app = await server.add_client("system/*.cruds", secret=True, redirect_uris=[])

    async def client(scope: str) -> httpx.AsyncClient:
        answer = await app.token(grant_type="client_credentials", scope=scope)
        return server.fhir(answer.json()["access_token"])

    whole, same, lesser = [await client(f"system/{scope}") for scope in ("*.cruds", "*.cruds", "Subscription.rs")]
    by_websocket = subscription("", "Observation")
    by_websocket["channel"] = {"type": "websocket"}
    made = await created(whole, by_websocket)
    path = f"Subscription/{made['id']}/$get-ws-binding-token"
    assert (await same.get(path)).status_code == 200
    assert (await lesser.get(f"Subscription/{made['id']}")).status_code == 200
    assert (await lesser.get(path)).status_code == 403
    assert (await lesser.get("Subscription/$get-ws-binding-token")).status_code == 403
