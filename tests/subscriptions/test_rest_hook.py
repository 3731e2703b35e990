"""R4's rest-hook: who is told, what arrives, and what of a Subscription is shown."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import httpx

from tests.smart_server import SmartServer
from tests.subscriptions.conftest import created, observation, subscription, until_status
from tests.subscriptions.receiver import Receiver


async def test_each_match_is_an_empty_post(lab: httpx.AsyncClient, receiver: Receiver) -> None:
    """Without a payload each version that meets the criteria is one POST without a body, in order, with its number."""
    made = await created(lab, subscription(receiver.url, "Observation?code=1234"))
    for code in ("1234", "999", "1234"):
        await created(lab, observation(code))
    received = await receiver.wait_for(2)
    assert [(each.method, each.path, each.body) for each in received] == [("POST", "/hook", b"")] * 2
    assert [each.headers["webhook-id"] for each in received] == [f"{made['id']}_1", f"{made['id']}_2"]
    assert (await until_status(lab, made["id"], "active"))["criteria"] == "Observation?code=1234"


async def test_a_payload_is_put_below_the_endpoint(lab: httpx.AsyncClient, receiver: Receiver) -> None:
    """With a payload the endpoint is a FHIR base, where the very version that was stored is put."""
    await created(lab, subscription(receiver.url, "Observation?code=1234", payload="application/fhir+json"))
    stored = await created(lab, observation("1234"))
    changed = {**stored, "status": "amended"}
    await lab.put(f"Observation/{stored['id']}", json=changed)
    first, second = await receiver.wait_for(2)
    assert (first.method, first.path) == ("PUT", f"/hook/Observation/{stored['id']}")
    assert first.headers["content-type"].startswith("application/fhir+json")
    assert json.loads(first.body) == stored
    assert json.loads(second.body)["meta"]["versionId"] == "2"


async def test_a_payload_may_be_xml(lab: httpx.AsyncClient, receiver: Receiver) -> None:
    """The payload's media type decides on the format."""
    await created(lab, subscription(receiver.url, "Observation?code=1234", payload="application/fhir+xml"))
    await created(lab, observation("1234"))
    (received,) = await receiver.wait_for(1)
    assert received.headers["content-type"].startswith("application/fhir+xml")
    assert b'<code value="1234"/>' in received.body


async def test_headers_are_sent_and_never_shown(
    lab: httpx.AsyncClient, receiver: Receiver, server: SmartServer
) -> None:
    """The receiver gets the header; reads, searches, history and the database show its name alone."""
    secret = "Bearer 8dc1-secret"
    made = await created(lab, subscription(receiver.url, "Observation", header=[f"Authorization: {secret}"]))
    assert made["channel"]["header"] == ["Authorization: ********"]
    await until_status(lab, made["id"], "active")
    for path in (f"Subscription/{made['id']}", "Subscription", f"Subscription/{made['id']}/_history"):
        assert secret not in (await lab.get(path)).text
    database = server.services.database.raw
    for name in await database.list_collection_names():
        assert secret not in str(await database[name].find().to_list())
    await created(lab, observation("1"))
    (received,) = await receiver.wait_for(1)
    assert received.headers["authorization"] == secret


async def test_a_notification_is_signed(lab: httpx.AsyncClient, receiver: Receiver) -> None:
    """With a secret each notification has a signature as Standard Webhooks has it, which the receiver can check."""
    key = base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
    extension = {
        "url": "https://hms.example.org/fhir/StructureDefinition/subscription-secret",
        "valueString": f"whsec_{key}",
    }
    payload = "application/fhir+json"
    made = await created(lab, subscription(receiver.url, "Observation", payload=payload, extension=[extension]))
    assert made["channel"]["extension"][0]["valueString"] == "********"
    await created(lab, observation("1"))
    (received,) = await receiver.wait_for(1)
    name, at = received.headers["webhook-id"], received.headers["webhook-timestamp"]
    signed = f"{name}.{at}.".encode() + received.body
    expected = hmac.new(base64.b64decode(key), signed, hashlib.sha256).digest()
    assert received.headers["webhook-signature"] == "v1," + base64.b64encode(expected).decode()
