"""Places, services and people of care are not deleted while roles or coming appointments name them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.smart_server import SmartServer

COMING = (datetime.now(UTC) + timedelta(days=3)).isoformat()
PAST = (datetime.now(UTC) - timedelta(days=3)).isoformat()
NAMED = ["Location/place", "HealthcareService/service", "Practitioner/doctor"]


def named() -> list[dict[str, Any]]:
    return [{"resourceType": kind, "id": name} for kind, name in (each.split("/") for each in NAMED)]


def role(**more: Any) -> dict[str, Any]:
    return {
        "resourceType": "PractitionerRole",
        "id": "role",
        "practitioner": {"reference": "Practitioner/doctor"},
        "location": [{"reference": "Location/place"}],
        "healthcareService": [{"reference": "HealthcareService/service"}],
        **more,
    }


def appointment(start: str = COMING, status: str = "booked") -> dict[str, Any]:
    end = (datetime.fromisoformat(start) + timedelta(minutes=30)).isoformat()
    actors = [{"actor": {"reference": reference}, "status": "accepted"} for reference in NAMED]
    about = {"resourceType": "Appointment", "id": "visit", "status": status, "start": start, "end": end}
    return {**about, "participant": actors}


async def put(client: httpx.AsyncClient, *resources: dict[str, Any]) -> None:
    for resource in resources:
        (await client.put(f"{resource['resourceType']}/{resource['id']}", json=resource)).raise_for_status()


def entry(method: str, url: str, resource: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"request": {"method": method, "url": url}, **({"resource": resource} if resource else {})}


async def transaction(client: httpx.AsyncClient, *entries: dict[str, Any]) -> httpx.Response:
    return await client.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": list(entries)})


@pytest.mark.parametrize("reference", NAMED)
@pytest.mark.parametrize("by", [role(), appointment()], ids=["role", "appointment"])
async def test_what_is_named_stays(client: httpx.AsyncClient, reference: str, by: dict[str, Any]) -> None:
    """It is 409 and names who names it; when that is gone, it can be deleted."""
    await put(client, *named(), by)
    refused = await client.delete(reference)
    assert refused.status_code == 409
    [issue] = refused.json()["issue"]
    assert issue["diagnostics"] == f"{reference} is still named by {by['resourceType']}/{by['id']}."
    assert (await client.get(reference)).json()["meta"]["versionId"] == "1"
    await client.delete(f"{by['resourceType']}/{by['id']}")
    assert (await client.delete(reference)).status_code == 204


@pytest.mark.parametrize("visit", [appointment(PAST), appointment(status="cancelled"), appointment(PAST, "fulfilled")])
async def test_what_is_over_holds_nothing(client: httpx.AsyncClient, visit: dict[str, Any]) -> None:
    """Appointments that were, or that will not be, hold nobody."""
    await put(client, *named(), visit)
    for reference in NAMED:
        assert (await client.delete(reference)).status_code == 204


async def test_a_transaction_is_judged_by_its_outcome(client: httpx.AsyncClient) -> None:
    """A place goes with its roles, or when they move elsewhere, whatever the order; else nothing happens."""
    await put(client, *named(), role())
    refused = await transaction(client, entry("DELETE", "Location/place"), entry("PUT", "Basic/x", basic()))
    assert refused.status_code == 409
    assert "Bundle.entry[0]" in refused.text
    assert (await client.get("Basic/x")).status_code == 404
    moved = role(location=[{"reference": "Location/other"}])
    done = await transaction(
        client,
        entry("DELETE", "Location/place"),
        entry("PUT", "PractitionerRole/role", moved),
        entry("PUT", "Location/other", {"resourceType": "Location", "id": "other"}),
    )
    assert done.status_code == 200, done.text
    done = await transaction(client, entry("DELETE", "Location?_id=other"), entry("DELETE", "PractitionerRole/role"))
    assert done.status_code == 200, done.text
    new = role(location=[{"reference": "Location/late"}])
    await put(client, {"resourceType": "Location", "id": "late"})
    refused = await transaction(client, entry("DELETE", "Location/late"), entry("PUT", "PractitionerRole/role", new))
    assert refused.status_code == 409


def basic() -> dict[str, Any]:
    return {"resourceType": "Basic", "id": "x", "code": {"text": "x"}}


async def test_a_conditional_delete_of_many_deletes_none(client: httpx.AsyncClient) -> None:
    """One that is in use holds all that the criteria find."""
    free = {"resourceType": "Location", "id": "free"}
    await put(client, *named(), free, role())
    refused = await client.delete("Location", params={"_id": "free,place", "_multiple": "true"})
    assert refused.status_code == 409
    assert (await client.get("Location/free")).status_code == 200


async def test_names_are_told_to_those_who_see_them(smart: SmartServer) -> None:
    """Who may delete the place and not see the appointment learns that there is one, and not which."""
    every = smart.fhir(await smart.system_token("system/*.cruds"))
    await put(every, *named(), role(), appointment())
    narrow = smart.fhir(await smart.system_token("system/Location.cruds system/PractitionerRole.rs"))
    refused = await narrow.delete("Location/place")
    answer = [issue["diagnostics"] for issue in refused.json()["issue"]]
    assert answer == [
        "Location/place is still named by PractitionerRole/role.",
        "Location/place is still named by other Appointment resources.",
    ]
