"""The demo clinic is rich enough to try each of the 36 endpoints by hand, as its patient."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fhir_server.hospital.demo.loading import load
from tests.facade_server import PASSWORD, AppUser, Hospital


@pytest.fixture
async def mara(hospital: Hospital) -> AppUser:
    """The demo's patient, signed in with what the start prints."""
    patient, _ = await load(hospital.services.settings)
    user = AppUser(hospital.http)
    body = {"username": patient.username, "password": patient.password}
    user.session = await user.ask("POST", "/user/login", body) | body
    return user


async def first(user: AppUser, path: str) -> dict[str, Any]:
    """Return the first item of a list that has one."""
    items = (await user.ask("GET", path))["items"]
    assert items, path
    result: dict[str, Any] = items[0]
    return result


async def free_slot(user: AppUser, doctor_id: str, nth: int) -> str:
    """Return the id of a free slot of the days to come."""
    day = datetime.now(UTC).date()
    path = f"/booking/doctors/{doctor_id}/slots?from={day}&to={day + timedelta(days=14)}"
    slots = (await user.ask("GET", path))["items"]
    return str([slot["id"] for slot in slots if slot["status"] == "free"][nth])


async def test_the_account(mara: AppUser, hospital: Hospital) -> None:
    """1 to 11: signing up, signing in and out, the profile, the password, the family."""
    await hospital.sign_up("somebody")
    await mara.ask("PUT", "/user/profile", {"language": "es"})
    assert (await mara.ask("GET", "/user/profile"))["language"] == "es"
    assert {item["relation"] for item in (await mara.ask("GET", "/user/family"))["items"]} == {"spouse", "child"}
    member = await mara.ask(
        "POST", "/user/family", {"name": "Ida", "relation": "parent", "dob": "1950-01-02"}, status=201
    )
    await mara.ask("PUT", f"/user/family/{member['id']}", {"name": "Ida L."})
    await mara.ask("DELETE", f"/user/family/{member['id']}", status=204)
    new_password = {"current_password": mara.session["password"], "new_password": PASSWORD}
    await mara.ask("PUT", "/user/password", new_password, status=204)
    renewed = await mara.ask("POST", "/user/token/refresh", {"refresh_token": mara.session["refresh_token"]})
    mara.session["access_token"] = renewed["access_token"]
    await mara.ask("POST", "/user/logout", status=204)
    await mara.refused("invalid_token", "GET", "/user/profile")


async def test_a_visit_from_the_catalogue_to_the_calendar(mara: AppUser) -> None:
    """12 to 21: insurance, the catalogue, booking, paying, moving, cancelling."""
    assert (await first(mara, "/booking/clinics?near=43.66,-70.25"))["id"] == "harbour-clinic"
    specialty = await first(mara, "/booking/specialties?clinic_id=harbour-clinic")
    doctor = await first(mara, f"/booking/doctors?clinic_id=harbour-clinic&specialty_id={specialty['id']}")
    assert doctor["next_available"]
    policy = {"provider": "Solace Mutual", "policy_number": "SOL-4471-A"}
    verified = await mara.ask("POST", "/booking/insurance/verify", policy | {"specialty_id": specialty["id"]})
    assert (verified["status"], verified["copay"]) == ("active", {"amount": 20.0, "currency": "USD"})
    body = {"doctor_id": doctor["id"], "clinic_id": "harbour-clinic", "specialty_id": specialty["id"]}
    slot = await free_slot(mara, doctor["id"], 0)
    booked = await mara.ask("POST", "/booking/appointments", body | {"slot_id": slot}, status=201)
    path = f"/booking/appointments/{booked['id']}"
    paying = {
        "appointment_id": booked["id"],
        "payment_method": "card",
        "card_token": "tok_visa",
        **booked["amount_due"],
    }
    assert (await mara.ask("POST", "/booking/payment", paying, status=201))["status"] == "completed"
    await mara.ask("PUT", path, {"slot_id": await free_slot(mara, doctor["id"], 3)})
    assert (await mara.send("GET", f"{path}/calendar")).text.startswith("BEGIN:VCALENDAR")
    assert (await mara.ask("DELETE", path))["status"] == "canceled"


async def test_a_visit_now(mara: AppUser) -> None:
    """22 to 28: a visit that begins soon: arriving, waiting, being seen, coming again, and what is remembered."""
    coming = (await mara.ask("GET", "/history/appointments?status=scheduled&limit=100"))["items"]
    soon = min(coming, key=lambda item: item["start"])
    assert datetime.fromisoformat(soon["start"]) - datetime.now(UTC) < timedelta(minutes=31)
    visit = await mara.ask("POST", "/clinic/arrival", {"appointment_id": soon["id"]}, status=None)
    assert visit["status"] in ("arrived", "in_queue")
    waiting = await mara.ask("GET", f"/clinic/wait-time?appointment_id={soon['id']}")
    assert waiting["queue_position"] == 1
    done = await mara.ask("POST", "/clinic/visit/complete", {"appointment_id": soon["id"]})
    assert done["status"] == "visited"
    again = {"appointment_id": soon["id"], "slot_id": await free_slot(mara, soon["doctor_id"], 1)}
    assert (await mara.ask("POST", "/follow-up/appointment", again, status=201))["follow_up_to"] == soon["id"]
    note = await first(mara, "/notifications")
    assert (await mara.ask("PUT", f"/notifications/{note['id']}/read"))["is_read"] is True
    paid = [item["payment"] for item in (await mara.ask("GET", "/history/appointments?to=2025-01-01"))["items"]]
    assert {(item["status"], item["payment_method"]) for item in paid} == {
        ("completed", "card"),
        ("completed", "insurance"),
    }


async def test_the_record(mara: AppUser) -> None:
    """29 to 36: plan, tests, prescriptions, documents, and what insurance says of them."""
    plan = await mara.ask("GET", "/treatment-plan/mara-lindqvist-2024-09")
    assert plan["prescriptions"]
    assert plan["lab_tests"]
    result = await first(mara, "/lab-tests/results")
    assert (result["status"], len(result["observations"]) > 2) == ("completed", True)
    prescription = await first(mara, "/medicine/prescription")
    assert prescription["frequency"]
    for path, name, item in (
        ("/lab-tests/insurance/verify", "lab_test_id", result),
        ("/medicine/insurance/verify", "prescription_id", prescription),
    ):
        assert (await mara.ask("POST", path, {name: item["id"]}))["coverage_id"] == "mara-lindqvist-solace"
    paying = {"lab_test_id": result["id"], "amount": 20, "currency": "USD", "payment_method": "cash"}
    assert (await mara.ask("POST", "/lab-tests/payment", paying, status=201))["status"] == "pending"
    document = await first(mara, "/history/documents")
    assert (await mara.send("GET", document["file_url"])).content[:4] == b"%PDF"


async def test_staff_signs_in(hospital: Hospital) -> None:
    """The demo's doctor may complete visits at her clinics."""
    _, doctor = await load(hospital.services.settings)
    user = AppUser(hospital.http)
    body = {"username": doctor.username, "password": doctor.password}
    user.session = await user.ask("POST", "/user/login", body)
    assert "user/" in user.session["scope"]
    assert (await user.ask("GET", "/clinic/wait-time?clinic_id=harbour-clinic"))["queue_length"] == 0
