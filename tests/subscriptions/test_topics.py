"""Subscriptions by topic: handshake, notifications, heartbeats, filters, and the operations on them."""

from __future__ import annotations

import json
from typing import Any

import httpx

from fhir_server.engine.subscriptions.topics import TOPICS
from fhir_server.r4.validation import validate
from tests.subscriptions.conftest import created, subscription, until_status
from tests.subscriptions.receiver import Received, Receiver

BACKPORT = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/"
START = "urn:fhir-server:topic:encounter-start"


def by_topic(endpoint: str, topic: str = START, content: str = "id-only", **overrides: Any) -> dict[str, Any]:
    """Return a Subscription by topic; `filters`, `heartbeat` and `most` become its extensions."""
    extensions = [
        {"url": f"{BACKPORT}{name}", kind: overrides[key]}
        for key, name, kind in (
            ("heartbeat", "backport-heartbeat-period", "valueUnsignedInt"),
            ("most", "backport-max-count", "valuePositiveInt"),
        )
        if key in overrides
    ]
    payload = {"extension": [{"url": f"{BACKPORT}backport-payload-content", "valueCode": content}]}
    made = subscription(endpoint, topic, payload="application/fhir+json", _payload=payload)
    if extensions:
        made["channel"]["extension"] = extensions
    if "filters" in overrides:
        filters = [{"url": f"{BACKPORT}backport-filter-criteria", "valueString": text} for text in overrides["filters"]]
        made["_criteria"] = {"extension": filters}
    return made


def encounter(status: str = "in-progress", **elements: Any) -> dict[str, Any]:
    """Return an Encounter."""
    code = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"}
    return {"resourceType": "Encounter", "status": status, "class": code, **elements}


def told(received: Received) -> tuple[str, list[str], list[str]]:
    """Return the type of a notification, the numbers of its events, and what they are about."""
    result = json.loads(received.body)
    assert validate(result, max_depth=100) == []
    parameters = result["entry"][0]["resource"]["parameter"]
    kind = next(each["valueCode"] for each in parameters if each["name"] == "type")
    parts = [part for each in parameters if each["name"] == "notification-event" for part in each["part"]]
    numbers = [part["valueString"] for part in parts if part["name"] == "event-number"]
    return kind, numbers, [part["valueReference"]["reference"] for part in parts if part["name"] == "focus"]


async def events(receiver: Receiver, count: int) -> list[tuple[str, str]]:
    """Return the number and focus of each event, once so many have arrived, in however many notifications."""
    arrived = 1
    while True:
        notifications = [told(each) for each in await receiver.wait_for(arrived)]
        pairs = [pair for _, numbers, about in notifications for pair in zip(numbers, about, strict=True)]
        if len(pairs) >= count:
            return pairs
        arrived = len(notifications) + 1


async def test_what_becomes_so_is_told_once(lab: httpx.AsyncClient, receiver: Receiver) -> None:
    """A handshake comes first; then an Encounter that starts, but none that goes on, and only ids by default."""
    made = await created(lab, by_topic(receiver.url))
    stored = await created(lab, encounter("planned"))
    path = f"Encounter/{stored['id']}"
    for change in ({"status": "in-progress"}, {"status": "in-progress", "language": "en"}):
        stored = (await lab.put(path, json={**stored, **change})).json()
    again = await created(lab, encounter())
    base = str(lab.base_url).rstrip("/")
    assert await events(receiver, 2) == [("1", f"{base}/{path}"), ("2", f"{base}/Encounter/{again['id']}")]
    shaken, *others = [told(each)[0] for each in receiver.received]
    assert (shaken, set(others)) == ("handshake", {"event-notification"})
    await until_status(lab, made["id"], "active")


async def test_contents_are_as_asked_for(lab: httpx.AsyncClient, receiver: Receiver) -> None:
    """`empty` names nothing, `full-resource` brings the version."""
    await created(lab, by_topic(f"{receiver.url}/empty", content="empty"))
    await created(lab, by_topic(f"{receiver.url}/full", content="full-resource"))
    stored = await created(lab, encounter())
    received = await receiver.wait_for(4)
    by_path = {each.path: each for each in received}
    assert told(by_path["/hook/empty"]) == ("event-notification", ["1"], [])
    assert stored["id"].encode() not in by_path["/hook/empty"].body
    assert json.loads(by_path["/hook/full"].body)["entry"][1]["resource"] == stored


async def test_a_transaction_is_one_notification(lab: httpx.AsyncClient, receiver: Receiver) -> None:
    """The events of a transaction come together, in one notification as far as its size allows."""
    made = await created(lab, by_topic(receiver.url))
    await until_status(lab, made["id"], "active")
    entries = [{"resource": encounter(), "request": {"method": "POST", "url": "Encounter"}} for _ in range(7)]
    answer = await lab.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert answer.status_code == 200
    received = await receiver.wait_for(2)
    assert told(received[1])[1] == [str(number) for number in range(1, 8)]


async def test_filters_narrow_a_topic(lab: httpx.AsyncClient, receiver: Receiver) -> None:
    """All filters of the type must be met; a parameter that the topic does not name is refused at its place."""
    for name in ("ann", "ben"):
        await lab.put(f"Patient/{name}", json={"resourceType": "Patient", "id": name})
    await created(lab, by_topic(receiver.url, filters=["Encounter?patient=Patient/ann", "Encounter?class=AMB"]))
    await created(lab, encounter(subject={"reference": "Patient/ben"}))
    mine = await created(lab, encounter(subject={"reference": "Patient/ann"}))
    received = await receiver.wait_for(2)
    assert told(received[1])[2] == [f"{str(lab.base_url).rstrip('/')}/Encounter/{mine['id']}"]
    for text in ("Encounter?length=3", "Patient?name=x", "Encounter", "Encounter?patient.name=x"):
        answer = await lab.post("Subscription", json=by_topic(receiver.url, filters=[text]))
        assert answer.status_code == 422, text
        assert answer.json()["issue"][0]["expression"] == ["Subscription.criteria"]
    assert (await lab.post("Subscription", json=by_topic(receiver.url, topic="urn:none"))).status_code == 422


async def test_a_handshake_that_fails_is_an_error(lab: httpx.AsyncClient, receiver: Receiver) -> None:
    """A receiver that does not take the handshake is told of nothing, until it is asked for again."""
    receiver.answer = lambda _: "500 Internal Server Error"
    made = await created(lab, by_topic(receiver.url))
    stopped = await until_status(lab, made["id"], "error")
    assert "handshake" in stopped["error"]
    receiver.answer = lambda _: "200 OK"
    assert (await lab.put(f"Subscription/{made['id']}", json={**stopped, "status": "requested"})).status_code == 200
    again = await until_status(lab, made["id"], "active")
    assert "error" not in again


async def test_operations_tell_how_it_stands_and_what_was_told(lab: httpx.AsyncClient, receiver: Receiver) -> None:
    """$status counts the events, $events tells them again from a number on."""
    made = await created(lab, by_topic(receiver.url))
    stored = [await created(lab, encounter()) for _ in range(3)]
    await until_status(lab, made["id"], "active")
    await receiver.wait_for(2)
    status = (await lab.get(f"Subscription/{made['id']}/$status")).json()
    parameters = {each["name"]: each for each in status["entry"][0]["resource"]["parameter"]}
    assert parameters["type"]["valueCode"] == "query-status"
    assert parameters["topic"]["valueCanonical"] == START
    for query in ("", f"?id={made['id']}", "?status=active"):
        assert len((await lab.get(f"Subscription/$status{query}")).json()["entry"]) == 1, query
    assert "entry" not in (await lab.get("Subscription/$status?status=off")).json()
    await receiver.wait_for(2)
    answer = await lab.get(f"Subscription/{made['id']}/$events?eventsSinceNumber=2&content=full-resource")
    body = answer.json()
    assert validate(body, max_depth=100) == []
    assert [entry["resource"]["id"] for entry in body["entry"][1:]] == [each["id"] for each in stored[1:]]
    assert (await lab.get(f"Subscription/{made['id']}/$events?eventsSinceNumber=x")).status_code == 400
    assert (await lab.get("Subscription/none/$status")).status_code == 404


async def test_topics_are_announced(lab: httpx.AsyncClient) -> None:
    """The CapabilityStatement names each topic, the profile and the operations."""
    statement = (await lab.get("metadata")).json()
    described = next(each for each in statement["rest"][0]["resource"] if each["type"] == "Subscription")
    assert [each["valueCanonical"] for each in described["extension"]] == [topic.url for topic in TOPICS]
    assert {"status", "events"} <= {each["name"] for each in described["operation"]}


TOPIC = "http://example.org/SubscriptionTopic/condition-resolved"
ELEMENT = "http://hl7.org/fhir/5.0/StructureDefinition/extension-SubscriptionTopic."


def topic(current: str = "clinical-status=resolved", *more: dict[str, Any]) -> dict[str, Any]:
    """Return a SubscriptionTopic as R4 stores it: Conditions that become so."""
    criteria = [
        {"url": "previous", "valueString": "clinical-status:not=resolved"},
        {"url": "resultForCreate", "valueCode": "test-fails"},
        {"url": "current", "valueString": current},
        {"url": "requireBoth", "valueBoolean": True},
    ]
    trigger = [
        {"url": "resource", "valueUri": "http://hl7.org/fhir/StructureDefinition/Condition"},
        {"url": "supportedInteraction", "valueCode": "create"},
        {"url": "supportedInteraction", "valueCode": "update"},
        {"url": "queryCriteria", "extension": criteria},
        *more,
    ]
    filtered = [{"url": "resource", "valueUri": "Condition"}, {"url": "filterParameter", "valueString": "code"}]
    return {
        "resourceType": "Basic",
        "code": {"coding": [{"system": "http://hl7.org/fhir/fhir-types", "code": "SubscriptionTopic"}]},
        "extension": [
            {"url": f"{ELEMENT}url", "valueUri": TOPIC},
            {"url": f"{ELEMENT}resourceTrigger", "extension": trigger},
            {"url": f"{ELEMENT}canFilterBy", "extension": filtered},
        ],
    }


def condition(status: str, **elements: Any) -> dict[str, Any]:
    """Return a Condition."""
    coding = {"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": status}
    subject = {"reference": "Patient/ann"}
    return {"resourceType": "Condition", "clinicalStatus": {"coding": [coding]}, "subject": subject, **elements}


async def test_a_stored_topic_is_followed(lab: httpx.AsyncClient, receiver: Receiver) -> None:
    """A topic stored as Basic triggers as it says, and as it says later when it is changed."""
    await lab.put("Patient/ann", json={"resourceType": "Patient", "id": "ann"})
    assert (await lab.post("Subscription", json=by_topic(receiver.url, topic=TOPIC))).status_code == 422
    basic = await created(lab, topic())
    await created(lab, by_topic(receiver.url, topic=TOPIC))
    await created(lab, condition("resolved"))  # a first version fails the test of the one before
    stored = await created(lab, condition("active"))
    resolved = await lab.put(f"Condition/{stored['id']}", json={**condition("resolved"), "id": stored["id"]})
    assert resolved.status_code == 200
    received = await receiver.wait_for(2)
    assert told(received[1])[2] == [f"{str(lab.base_url).rstrip('/')}/Condition/{stored['id']}"]
    changed = {**topic("clinical-status=inactive"), "id": basic["id"]}
    assert (await lab.put(f"Basic/{basic['id']}", json=changed)).status_code == 200
    await lab.put(f"Condition/{stored['id']}", json={**condition("active"), "id": stored["id"]})
    await lab.put(f"Condition/{stored['id']}", json={**condition("inactive"), "id": stored["id"]})
    assert [number for number, _ in await events(receiver, 2)] == ["1", "2"]


async def test_what_of_a_topic_cannot_be_carried_out_is_refused(lab: httpx.AsyncClient, receiver: Receiver) -> None:
    """Events, FHIRPath and deletions of a stored topic are named when somebody subscribes to it."""
    for more in (
        {"url": "fhirPathCriteria", "valueString": "true"},
        {"url": "supportedInteraction", "valueCode": "delete"},
    ):
        basic = await created(lab, topic("clinical-status=resolved", more))
        answer = await lab.post("Subscription", json=by_topic(receiver.url, topic=TOPIC))
        assert answer.status_code == 422
        assert answer.json()["issue"][0]["code"] == "not-supported"
        await lab.delete(f"Basic/{basic['id']}")
