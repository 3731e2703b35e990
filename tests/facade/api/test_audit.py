"""The hospital's endpoints leave the audit trail that the same FHIR requests would have left."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

from fhir_server.r4.validation import validate
from tests.facade.clinic import booking_of, open_clinics
from tests.facade_server import PASSWORD, Hospital

Event = dict[str, Any]


async def _events(hospital: Hospital, name: str) -> list[Event]:
    """Return the events of that name, the oldest first; each must be valid."""
    await hospital.app.state.audit.flush()
    bundle = await hospital.fhir("GET", f"AuditEvent?subtype={name}&_sort=_id&_count=200")
    resources = [entry["resource"] for entry in bundle.get("entry", ())]
    for event in resources:
        assert validate(event, max_depth=100) == []
    return resources


def _asked(event: Event) -> list[str]:
    return [entity["description"] for entity in event["entity"] if "description" in entity]


def _named(event: Event) -> list[str]:
    return [entity["what"]["reference"] for entity in event["entity"] if "what" in entity]


async def test_a_request_is_one_event_with_all_that_it_touched(hospital: Hospital) -> None:
    """By the token's user, about the user's compartment, with each resource that was read, searched or written."""
    await open_clinics(hospital)
    mara = await hospital.sign_up("mara")
    answer = await mara.ask("POST", "/booking/appointments", booking_of("09:30"), status=201)
    await mara.ask("GET", "/history/appointments?limit=5")
    booking, history = await _events(hospital, "hospital")
    assert (booking["action"], booking["outcome"], history["action"]) == ("C", "0", "R")
    for event in (booking, history):
        assert event["type"]["code"] == "110110"
        user, app = event["agent"]
        assert (user["who"]["reference"], user["requestor"]) == (f"Patient/{mara.id}", True)
        assert app["who"]["identifier"]["value"] == "hms-app"
        assert event["entity"][-1]["role"]["code"] == "1"
        assert event["entity"][-1]["what"]["reference"] == f"Patient/{mara.id}"
    assert _asked(booking)[0] == "POST booking/appointments"
    assert f"Appointment/{answer['id']}" in _named(booking)
    assert f"Slot/{answer['slot_id']}" in _named(booking)
    assert any(reported.startswith("GET Appointment") for reported in _asked(history)[1:])
    assert base64.b64decode(history["entity"][0]["query"]) == b"history/appointments?limit=5"
    by_patient = await hospital.fhir("GET", f"AuditEvent?entity=Patient/{mara.id}&_count=100")
    assert {booking["id"], history["id"]} <= {entry["resource"]["id"] for entry in by_patient["entry"]}
    by_appointment = await hospital.fhir("GET", f"AuditEvent?entity=Appointment/{answer['id']}")
    assert booking["id"] in [entry["resource"]["id"] for entry in by_appointment["entry"]]


async def test_what_is_refused_is_told_with_its_code(hospital: Hospital) -> None:
    """A stranger, and a user who asks for another's appointment."""
    await open_clinics(hospital)
    mara, noor = await hospital.sign_up("mara"), await hospital.sign_up("noor")
    booked = await mara.ask("POST", "/booking/appointments", booking_of("09:30"), status=201)
    await hospital.visitor().refused("invalid_token", "GET", "/user/profile")
    await noor.refused("not_found", "GET", f"/treatment-plan/{booked['id']}")
    stranger, other = (await _events(hospital, "hospital"))[-2:]
    assert (stranger["outcome"], stranger["outcomeDesc"]) == ("4", "invalid_token")
    assert stranger["agent"][0]["who"]["identifier"]["value"] == "unknown"
    assert (other["outcome"], other["outcomeDesc"]) == ("4", "not_found")
    assert other["agent"][0]["who"]["reference"] == f"Patient/{noor.id}"
    assert f"Appointment/{booked['id']}" in _named(other)


async def test_signing_in_and_out_of_the_app_is_told(hospital: Hospital) -> None:
    """As sign-up, login, token and logout, by the account; also a login that fails, without what was typed."""
    mara = await hospital.sign_up("mara")
    await mara.ask("POST", "/user/token/refresh", {"refresh_token": mara.session["refresh_token"]})
    visitor = hospital.visitor()
    await visitor.refused(
        "invalid_credentials", "POST", "/user/login", {"username": "mara@example.org", "password": "x"}
    )
    await visitor.refused(
        "invalid_credentials", "POST", "/user/login", {"username": "typed@example.org", "password": "x"}
    )
    await visitor.ask("POST", "/user/login", {"username": "mara@example.org", "password": PASSWORD})
    await mara.ask("POST", "/user/logout", status=204)
    wrong, unknown, right = await _events(hospital, "login")
    for event in (right, *await _events(hospital, "user-added"), *await _events(hospital, "token")):
        assert (event["outcome"], event["agent"][0]["who"]["reference"]) == ("0", f"Patient/{mara.id}")
    (logout,) = await _events(hospital, "logout")
    assert logout["agent"][0]["who"]["reference"] == f"Patient/{mara.id}"
    assert (wrong["outcomeDesc"], wrong["agent"][0]["who"]["reference"]) == (
        "invalid_credentials",
        f"Patient/{mara.id}",
    )
    assert unknown["agent"][0]["who"]["identifier"]["value"] == "unknown"
    stored = str(await hospital.services.database.current("AuditEvent").find({}).to_list())
    secrets = ["typed@", PASSWORD, mara.session["access_token"], mara.session["refresh_token"]]
    assert [secret for secret in secrets if secret in stored] == []


async def test_requests_at_once_are_told_apart(hospital: Hospital) -> None:
    """What one request touches is in no other's event."""
    mara, noor = await hospital.sign_up("mara"), await hospital.sign_up("noor")
    await asyncio.gather(*(user.ask("GET", "/user/profile") for user in (mara, noor) * 10))
    events = await _events(hospital, "hospital")
    assert len(events) == 20
    for event in events:
        assert {event["agent"][0]["who"]["reference"]} == {
            name for name in _named(event) if name.startswith("Patient/")
        }


async def test_the_same_pages_for_everybody_are_not_told(hospital: Hospital) -> None:
    """Descriptions, health and style sheets hold nobody's data."""
    for path in ("/docs", "/openapi.json", "/health/live", "/oauth/jwks", "/oauth/login", "/"):
        await hospital.http.get(path)
    assert await _events(hospital, "hospital") == []
