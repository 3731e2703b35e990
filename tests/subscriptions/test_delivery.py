"""Deliveries: in order, again after failures, held up by nobody else, and given up at the right place."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tests.smart_server import SmartServer
from tests.subscriptions.conftest import created, observation, subscription, until, until_status
from tests.subscriptions.receiver import Receiver, receiving


def numbers(receiver: Receiver) -> list[int]:
    """Return the numbers of the events that have arrived."""
    return [int(each.headers["webhook-id"].rpartition("_")[2]) for each in receiver.received]


async def test_a_failure_is_tried_again_in_order(lab: httpx.AsyncClient, receiver: Receiver) -> None:
    """An event that was not taken comes again, before any later one."""
    receiver.answer = lambda _: "503 Service Unavailable" if len(receiver.received) < 2 else "200 OK"
    await created(lab, subscription(receiver.url, "Observation"))
    for code in ("1", "2"):
        await created(lab, observation(code))
    await receiver.wait_for(4)
    assert numbers(receiver) == [1, 1, 1, 2]


async def test_a_receiver_that_is_gone_is_left(lab: httpx.AsyncClient, receiver: Receiver) -> None:
    """410 turns the Subscription off, and it names the event; asked for again it goes on there."""
    receiver.answer = lambda _: "410 Gone"
    made = await created(lab, subscription(receiver.url, "Observation"))
    await created(lab, observation("1"))
    stopped = await until_status(lab, made["id"], "off")
    assert "event 1" in stopped["error"]
    receiver.answer = lambda _: "200 OK"
    await lab.put(f"Subscription/{made['id']}", json={**stopped, "status": "active"})
    await created(lab, observation("2"))
    await receiver.wait_for(3)
    assert numbers(receiver) == [1, 1, 2]


async def test_a_receiver_that_failed_for_long_is_given_up(
    server: SmartServer, lab: httpx.AsyncClient, receiver: Receiver
) -> None:
    """After the setting's days of failures the status is error, and says where it stopped."""
    receiver.answer = lambda _: "500 Internal Server Error"
    made = await created(lab, subscription(receiver.url, "Observation"))
    await created(lab, observation("1"))
    await receiver.wait_for(1)
    states = server.services.database.collection("server_subscriptions")
    long_ago = datetime.now(UTC) - timedelta(days=8)
    await until(lambda: states.find_one({"_id": made["id"], "attempts": {"$gt": 0}}))
    await states.update_one({"_id": made["id"]}, {"$set": {"failing": long_ago, "due": long_ago}})
    stopped = await until_status(lab, made["id"], "error")
    assert "event 1" in stopped["error"]


async def test_slow_receivers_hold_nobody_up(lab: httpx.AsyncClient, receiver: Receiver) -> None:
    """While some receivers never answer, others are told."""
    endless = await asyncio.start_server(lambda *_: asyncio.sleep(60), "127.0.0.1", 0)
    port = endless.sockets[0].getsockname()[1]
    for _ in range(3):
        await created(lab, subscription(f"http://127.0.0.1:{port}/", "Observation"))
    await created(lab, subscription(receiver.url, "Observation"))
    await created(lab, observation("1"))
    await receiver.wait_for(1)
    endless.close()


async def test_redirects_are_not_followed(lab: httpx.AsyncClient, receiver: Receiver) -> None:
    """A receiver that redirects has not taken the event, and where it points nothing arrives."""
    async with receiving() as other:
        receiver.answer = lambda _: f"307 Temporary Redirect\r\nLocation: {other.url}"
        await created(lab, subscription(receiver.url, "Observation"))
        await created(lab, observation("1"))
        await receiver.wait_for(2)
        assert not other.received


async def test_what_is_off_or_deleted_is_told_no_more(lab: httpx.AsyncClient, receiver: Receiver) -> None:
    """Nothing comes while it is off; numbers go on without a gap when it is asked for again."""
    made = await created(lab, subscription(receiver.url, "Observation"))
    path = f"Subscription/{made['id']}"
    await created(lab, observation("1"))
    await receiver.wait_for(1)
    active = await until_status(lab, made["id"], "active")
    await lab.put(path, json={**active, "status": "off"})
    await created(lab, observation("2"))
    await lab.put(path, json={**active, "status": "requested"})
    await until_status(lab, made["id"], "active")
    await created(lab, observation("3"))
    await receiver.wait_for(2)
    assert numbers(receiver) == [1, 2]
    assert (await lab.delete(path)).status_code in (200, 204)


async def test_its_end_turns_it_off(lab: httpx.AsyncClient, receiver: Receiver) -> None:
    """A Subscription whose end has come is off."""
    end = datetime.now(UTC) + timedelta(seconds=1)
    made = await created(lab, {**subscription(receiver.url, "Observation"), "end": end.isoformat()})
    await until_status(lab, made["id"], "off")


async def test_each_delivery_is_in_the_trail(server: SmartServer, lab: httpx.AsyncClient, receiver: Receiver) -> None:
    """An AuditEvent names the client, the resource and the patient."""
    await lab.put("Patient/ann", json={"resourceType": "Patient", "id": "ann"})
    payload = "application/fhir+json"
    await created(lab, subscription(receiver.url, "Observation", payload=payload))
    stored = await created(lab, observation("1", subject={"reference": "Patient/ann"}))
    await receiver.wait_for(1)
    auditor = server.fhir(await server.system_token("system/AuditEvent.rs"))

    async def trail() -> list[dict[str, Any]]:
        answer: list[dict[str, Any]] = (await auditor.get("AuditEvent?subtype=notification")).json().get("entry", [])
        return answer

    event = (await until(trail))[0]["resource"]
    about = [entity["what"]["reference"] for entity in event["entity"] if "what" in entity]
    assert {f"Observation/{stored['id']}", "Patient/ann"} <= set(about)
