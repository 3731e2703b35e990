"""The demo clinic, loaded into a server."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import httpx

from fhir_server.hospital.demo import bundle
from fhir_server.r4 import values

_TODAY = date(2025, 10, 28)


async def _load(client: httpx.AsyncClient, today: date) -> None:
    answer = await client.post("", content=values.encode(bundle(today)))
    assert answer.status_code == 200, answer.text


async def _count(client: httpx.AsyncClient, url: str) -> int:
    return int((await client.get(url)).json()["total"])


async def test_a_second_load_changes_nothing(client: httpx.AsyncClient) -> None:
    """Loading the demo again on the same day makes no resource and no version, and leaves a booked slot booked."""
    await _load(client, _TODAY)
    slots = await _count(client, "Slot?_summary=count")
    free: dict[str, Any] = (await client.get("Slot?status=free&_count=1")).json()["entry"][0]["resource"]
    await client.put(f"Slot/{free['id']}", json=free | {"status": "busy"})
    await _load(client, _TODAY)
    assert await _count(client, "Slot?_summary=count") == slots
    assert (await client.get(f"Slot/{free['id']}")).json()["status"] == "busy"
    patient = (await client.get("Patient/mara-lindqvist")).json()
    assert patient["meta"]["versionId"] == "1"


async def test_a_later_load_adds_days(client: httpx.AsyncClient) -> None:
    """A load two weeks later adds the slots and appointments of the days that have come into view."""
    await _load(client, _TODAY)
    slots = await _count(client, "Slot?_summary=count")
    await _load(client, _TODAY + timedelta(days=14))
    assert await _count(client, "Slot?_summary=count") == 2 * slots
    visit = (await client.get("Appointment?status=booked&patient=mara-lindqvist&_sort=-date")).json()["entry"]
    assert len(visit) == 2
    slot = (await client.get(visit[0]["resource"]["slot"][0]["reference"])).json()
    assert (slot["status"], slot["start"]) == ("busy", visit[0]["resource"]["start"])
