"""Idempotency-Key, at each endpoint that books or pays."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.facade.api.test_description import DESCRIPTION
from tests.facade.endpoints import BY_NUMBER, ENDPOINTS, Endpoint
from tests.facade.world import World, make_world
from tests.facade_server import Hospital

KEY = {"Idempotency-Key": "k"}
NUMBERS = ("13", "18", "25", "31")


def test_which_endpoints_take_a_key() -> None:
    """They are those that book or pay."""
    taking = {
        row.number
        for row in ENDPOINTS
        for parameter in DESCRIPTION["paths"][row.path][row.method.lower()].get("parameters", ())
        if parameter["name"].lower() == "idempotency-key"
    }
    assert taking == set(NUMBERS)


async def effects(world: World) -> list[int]:
    """Return how many things there are that booking and paying make."""
    counted = [f"{kind}?_summary=count" for kind in ("Appointment", "Invoice", "PaymentReconciliation", "Slot")]
    return [(await world.hospital.fhir("GET", path))["total"] for path in counted]


@pytest.mark.parametrize("row", [BY_NUMBER[number] for number in NUMBERS], ids=lambda row: row.title)
async def test_the_same_request_ten_times(hospital: Hospital, row: Endpoint) -> None:
    """At once and later, the same key and body have one effect and the same answer, and another's key is another."""
    world = await make_world(hospital)
    before = await effects(world)
    answers = await asyncio.gather(*(world.ask(world.mara, row, headers=KEY) for _ in range(10)))
    answers.append(await world.ask(world.mara, row, headers=KEY))
    assert {(answer.status_code, answer.text) for answer in answers} == {(201, answers[0].text)}
    assert answers[-1].headers["idempotency-replayed"] == "true"
    after = await effects(world)
    assert max(new - old for new, old in zip(after, before, strict=True)) == 1
    await world.noor.refused("validation_failed", "POST", row.path, world.request_of(row)["body"], headers=KEY)


@pytest.mark.parametrize("row", [BY_NUMBER[number] for number in NUMBERS], ids=lambda row: row.title)
async def test_a_refusal_is_the_answer_too(hospital: Hospital, row: Endpoint) -> None:
    """The same request again is refused in the same words, in the language of then."""
    world = await make_world(hospital)
    faulty: dict[str, Any] = {name: "unknown" for name in row.own}
    spanish = KEY | {"Accept-Language": "es"}
    answers = [await world.ask(world.mara, row, headers=spanish, **faulty) for _ in range(2)]
    assert answers[0].status_code == 422
    assert answers[0].json()["errors"][0]["message"] == "No existe ninguno con este id."
    assert answers[0].text == answers[1].text


async def test_the_answer_stays_when_things_have_changed(hospital: Hospital) -> None:
    """A booking for a child is answered the same after the child has been removed."""
    world = await make_world(hospital)
    row = BY_NUMBER["18"]
    first = await world.ask(world.mara, row, headers=KEY)
    assert first.status_code == 201
    await world.mara.ask("DELETE", f"/user/family/{world.ids['member_id']}", status=204)
    again = await world.ask(world.mara, row, headers=KEY)
    assert (again.status_code, again.text) == (201, first.text)


@pytest.mark.parametrize("key", ["", "x" * 256])
async def test_what_is_no_key(hospital: Hospital, key: str) -> None:
    """An empty key, or one that is too long, is a faulty header."""
    world = await make_world(hospital)
    answer = await world.ask(world.mara, BY_NUMBER["18"], headers={"Idempotency-Key": key})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "idempotency-key")
