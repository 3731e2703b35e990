"""Endpoints 18 to 21: booking, moving, cancelling, and the calendar file."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from icalendar import Calendar

from tests.facade.clinic import MONDAY, booking_of, open_clinics, policy_of, written_slot
from tests.facade_server import AppUser, Hospital

BOOK = "/booking/appointments"


async def patient_of(hospital: Hospital, name: str = "mara") -> AppUser:
    await open_clinics(hospital)
    return await hospital.sign_up(name)


async def busy_slots(hospital: Hospital) -> list[dict[str, Any]]:
    bundle = await hospital.fhir("GET", "Slot?status=busy")
    return [entry["resource"] for entry in bundle.get("entry", ())]


async def test_booking(hospital: Hospital) -> None:
    """Booking makes an Appointment with everything that was asked for, a busy Slot and an Invoice over the fee."""
    mara = await patient_of(hospital)
    await hospital.put(policy_of(mara.id))
    child = await mara.ask(
        "POST", "/user/family", {"name": "Ada", "relation": "child", "dob": "2019-05-01"}, status=201
    )
    more = {"family_member_id": child["id"], "insurance_coverage_id": f"policy-{mara.id}", "reason": "Cough"}
    body = booking_of("09:30", **more)
    answer = await mara.ask("POST", BOOK, body, status=201)
    assert {name: answer[name] for name in body} == body
    assert (answer["user_id"], answer["status"], answer["timezone"]) == (mara.id, "scheduled", "America/New_York")
    assert answer["start"].startswith(f"{MONDAY}T09:30:00-0")
    assert answer["end"][11:16] == "10:00"
    assert answer["amount_due"] == {"amount": 90.0, "currency": "USD"}
    assert answer["created_at"] == answer["updated_at"] is not None
    (slot,) = await busy_slots(hospital)
    assert (slot["id"], slot["schedule"]["reference"][:9]) == (answer["slot_id"], "Schedule/")
    appointment = await hospital.fhir("GET", f"Appointment/{answer['id']}")
    assert appointment["status"] == "booked"
    assert appointment["slot"] == [{"reference": f"Slot/{slot['id']}"}]


async def test_booking_a_written_slot(hospital: Hospital) -> None:
    """A slot that was written by others is booked by its id; without a fee nothing is owed."""
    mara = await patient_of(hospital)
    body = {"doctor_id": "ferrand", "clinic_id": "hillside", "specialty_id": "skin", "slot_id": "ferrand-10"}
    answer = await mara.ask("POST", BOOK, body, status=201)
    assert (answer["appointment_time"], answer["slot_id"], answer["amount_due"]) == ("10:00", "ferrand-10", None)
    assert (await hospital.fhir("GET", "Slot/ferrand-10"))["status"] == "busy"
    noor = await hospital.sign_up("noor")
    await noor.refused("slot_taken", "POST", BOOK, body)


async def test_booking_a_computed_slot_by_its_id(hospital: Hospital) -> None:
    """The id that the list of slots gives books exactly that slot."""
    mara = await patient_of(hospital)
    listed = await mara.ask("GET", f"/booking/doctors/okpara/slots?from={MONDAY}&to={MONDAY}")
    slot = listed["items"][2]
    body = {"doctor_id": "okpara", "clinic_id": "harbour", "specialty_id": "cardiology", "slot_id": slot["id"]}
    answer = await mara.ask("POST", BOOK, body, status=201)
    assert (answer["start"], answer["slot_id"]) == (slot["start"], slot["id"])
    listed = await mara.ask("GET", f"/booking/doctors/okpara/slots?from={MONDAY}&to={MONDAY}")
    assert [item["status"] for item in listed["items"]] == ["free", "free", "busy", "free", "free", "free"]


async def test_fifty_at_once(hospital: Hospital) -> None:
    """Of fifty users who book one slot at once one gets it, and there is one Appointment, one busy Slot."""
    await open_clinics(hospital)
    users = [await hospital.sign_up(f"user{number}", phone=f"+1207555{number:04d}") for number in range(50)]
    answers = await asyncio.gather(*(user.send("POST", BOOK, booking_of()) for user in users))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 49
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"slot_taken"}
    assert len(await busy_slots(hospital)) == 1
    assert (await hospital.fhir("GET", "Appointment"))["total"] == 1
    assert (await hospital.fhir("GET", "Schedule?actor=PractitionerRole/okpara"))["total"] == 1


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"appointment_time": "09:10"}, "outside_hours"),
        ({"appointment_time": "13:00"}, "outside_hours"),
        ({"appointment_date": (MONDAY + timedelta(days=2)).isoformat()}, "outside_hours"),
        ({"appointment_date": (MONDAY - timedelta(days=21)).isoformat()}, "in_the_past"),
    ],
)
async def test_times_that_cannot_be_booked(hospital: Hospital, changes: dict[str, Any], code: str) -> None:
    """Only a start that is offered can be booked, and none in the past."""
    mara = await patient_of(hospital)
    await mara.refused(code, "POST", BOOK, booking_of() | changes)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"doctor_id": "nobody"}, "doctor_id"),
        ({"clinic_id": "nowhere"}, "clinic_id"),
        ({"clinic_id": "hillside"}, "clinic_id"),
        ({"specialty_id": "none"}, "specialty_id"),
        ({"specialty_id": "skin"}, "specialty_id"),
        ({"family_member_id": "x"}, "family_member_id"),
        ({"insurance_coverage_id": "x"}, "insurance_coverage_id"),
        ({"appointment_time": None}, "body"),
        ({"slot_id": "x"}, "body"),
        ({"appointment_time": "25:00"}, "appointment_time"),
        ({"doctor_id": None}, "doctor_id"),
    ],
)
async def test_faulty_bookings(hospital: Hospital, changes: dict[str, Any], field: str) -> None:
    """The field that is wrong is named, and nothing is booked."""
    mara = await patient_of(hospital)
    problem = await mara.refused("validation_failed", "POST", BOOK, booking_of() | changes)
    assert [error["field"] for error in problem["errors"]] == [field]
    assert await busy_slots(hospital) == []


@pytest.mark.parametrize("slot_id", ["nothing", "ferrand-9"])
async def test_slots_of_another_doctor(hospital: Hospital, slot_id: str) -> None:
    """A slot that is not there, or another doctor's, is a faulty field."""
    mara = await patient_of(hospital)
    body = {"doctor_id": "okpara", "clinic_id": "harbour", "specialty_id": "cardiology", "slot_id": slot_id}
    problem = await mara.refused("validation_failed", "POST", BOOK, body)
    assert problem["errors"][0]["field"] == "slot_id"


async def test_what_is_anothers(hospital: Hospital) -> None:
    """Another user's family, policy and appointments do not exist for a user."""
    mara, noor = await patient_of(hospital), await hospital.sign_up("noor")
    await hospital.put(policy_of(noor.id))
    child = await noor.ask("POST", "/user/family", {"name": "A", "relation": "child", "dob": "2019-05-01"}, status=201)
    for field, value in (("family_member_id", child["id"]), ("insurance_coverage_id", f"policy-{noor.id}")):
        problem = await mara.refused("validation_failed", "POST", BOOK, booking_of(**{field: value}))
        assert problem["errors"][0]["field"] == field
    booked = await noor.ask("POST", BOOK, booking_of(), status=201)
    path = f"{BOOK}/{booked['id']}"
    await mara.refused("not_found", "PUT", path, {"appointment_date": str(MONDAY), "appointment_time": "10:00"})
    await mara.refused("not_found", "DELETE", path)
    await mara.refused("not_found", "GET", f"{path}/calendar")


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", BOOK), ("PUT", f"{BOOK}/1"), ("DELETE", f"{BOOK}/1"), ("GET", f"{BOOK}/1/calendar")],
)
async def test_no_token(hospital: Hospital, method: str, path: str) -> None:
    """Nothing is booked, moved or shown without a token."""
    await hospital.visitor().refused("invalid_token", method, path, booking_of())


async def test_the_same_key(hospital: Hospital) -> None:
    """Twenty times the same key and body at once book once and answer alike; another body under the key is refused."""
    mara = await patient_of(hospital)
    headers = {"Idempotency-Key": "k1"}
    answers = await asyncio.gather(*(mara.send("POST", BOOK, booking_of(), headers=headers) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    assert len(await busy_slots(hospital)) == 1
    await mara.refused("idempotency_key_reused", "POST", BOOK, booking_of("10:00"), headers=headers)
    noor = await hospital.sign_up("noor")
    await noor.ask("POST", BOOK, booking_of("10:00"), headers=headers, status=201)


async def test_the_same_key_after_a_refusal(hospital: Hospital) -> None:
    """A refusal is the answer to the key for good, too."""
    mara, noor = await patient_of(hospital), await hospital.sign_up("noor")
    booked = await noor.ask("POST", BOOK, booking_of(), status=201)
    headers = {"Idempotency-Key": "k1"}
    await mara.refused("slot_taken", "POST", BOOK, booking_of(), headers=headers)
    await noor.ask("DELETE", f"{BOOK}/{booked['id']}")
    await mara.refused("slot_taken", "POST", BOOK, booking_of(), headers=headers)


async def test_rescheduling(hospital: Hospital) -> None:
    """A moved appointment has the new time and status, its old slot is free and the new one busy."""
    mara = await patient_of(hospital)
    booked = await mara.ask("POST", BOOK, booking_of(reason="Cough"), status=201)
    body = {"appointment_date": MONDAY.isoformat(), "appointment_time": "11:00"}
    moved = await mara.ask("PUT", f"{BOOK}/{booked['id']}", body)
    assert (moved["status"], moved["appointment_time"], moved["reason"]) == ("rescheduled", "11:00", "Cough")
    assert (moved["created_at"], moved["id"]) == (booked["created_at"], booked["id"])
    assert moved["updated_at"] > booked["updated_at"]
    assert [slot["id"] for slot in await busy_slots(hospital)] == [moved["slot_id"]]
    noor = await hospital.sign_up("noor")
    other = await noor.ask("POST", BOOK, booking_of(), status=201)
    await noor.refused("slot_taken", "PUT", f"{BOOK}/{other['id']}", body)
    await noor.refused("outside_hours", "PUT", f"{BOOK}/{other['id']}", body | {"appointment_time": "20:00"})
    assert len(await busy_slots(hospital)) == 2


async def test_rescheduling_at_once(hospital: Hospital) -> None:
    """Of several who move to one slot at once one gets it, and the others keep theirs."""
    await open_clinics(hospital)
    times = ["09:00", "09:30", "10:00", "10:30", "11:00"]
    users = [await hospital.sign_up(f"user{number}", phone=f"+1207555{number:04d}") for number in range(5)]
    booked = [await user.ask("POST", BOOK, booking_of(at), status=201) for user, at in zip(users, times, strict=True)]
    body = {"appointment_date": MONDAY.isoformat(), "appointment_time": "11:30"}
    moves = (user.send("PUT", f"{BOOK}/{item['id']}", body) for user, item in zip(users, booked, strict=True))
    answers = await asyncio.gather(*moves)
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409]
    assert len(await busy_slots(hospital)) == 5


async def test_canceling(hospital: Hospital) -> None:
    """A cancelled appointment says why, its slot can be booked again, and it cannot be moved any more."""
    mara = await patient_of(hospital)
    booked = await mara.ask("POST", BOOK, booking_of(), status=201)
    path = f"{BOOK}/{booked['id']}"
    canceled = await mara.ask("DELETE", f"{path}?reason=Better")
    assert (canceled["status"], canceled["amount_due"], canceled["refund_status"]) == ("canceled", None, None)
    appointment = await hospital.fhir("GET", f"Appointment/{booked['id']}")
    assert appointment["cancelationReason"]["text"] == "Better"
    assert await busy_slots(hospital) == []
    body = {"appointment_date": MONDAY.isoformat(), "appointment_time": "11:00"}
    await mara.refused("not_reschedulable", "PUT", path, body)
    assert (await mara.ask("DELETE", path))["status"] == "canceled"
    await mara.ask("POST", BOOK, booking_of(), status=201)


@pytest.mark.parametrize("status", ["fulfilled", "noshow", "arrived"])
async def test_what_is_over_stays(hospital: Hospital, status: str) -> None:
    """An appointment that has taken place can be neither moved nor cancelled."""
    mara = await patient_of(hospital)
    booked = await mara.ask("POST", BOOK, booking_of(), status=201)
    appointment = await hospital.fhir("GET", f"Appointment/{booked['id']}")
    await hospital.put(appointment | {"status": status})
    body = {"appointment_date": MONDAY.isoformat(), "appointment_time": "11:00"}
    await mara.refused("not_reschedulable", "PUT", f"{BOOK}/{booked['id']}", body)
    await mara.refused("not_reschedulable", "DELETE", f"{BOOK}/{booked['id']}")


async def test_a_slot_that_was_changed_meanwhile(hospital: Hospital) -> None:
    """A slot that an EHR vendor touched but left free can still be booked."""
    mara = await patient_of(hospital)
    await hospital.put(written_slot(9) | {"comment": "Window"})
    body = {"doctor_id": "ferrand", "clinic_id": "hillside", "specialty_id": "skin", "slot_id": "ferrand-9"}
    await mara.ask("POST", BOOK, body, status=201)
    assert (await hospital.fhir("GET", "Slot/ferrand-9"))["comment"] == "Window"


async def test_the_calendar_file(hospital: Hospital) -> None:
    """The file keeps its UID, its sequence grows with each change, and cancelling sends METHOD:CANCEL."""
    mara = await patient_of(hospital)
    booked = await mara.ask("POST", BOOK, booking_of(reason="Cough"), status=201)
    path = f"{BOOK}/{booked['id']}"

    async def event() -> tuple[str, Any]:
        response = await mara.send("GET", f"{path}/calendar")
        assert response.headers["content-type"].startswith("text/calendar")
        file = Calendar.from_ical(response.content)
        return str(file["method"]), file.events[0]

    method, first = await event()
    assert method == "PUBLISH"
    assert str(first["summary"]) == "Visit: Dr Samuel Okpara, Harbour Clinic"
    assert first["dtstart"].params["tzid"] == "America/New_York"
    assert first.walk("VALARM")
    await mara.ask("PUT", path, {"appointment_date": MONDAY.isoformat(), "appointment_time": "11:00"})
    _, second = await event()
    assert (str(second["uid"]), second["sequence"] > first["sequence"]) == (str(first["uid"]), True)
    await mara.ask("DELETE", path)
    method, third = await event()
    assert (method, str(third["status"]), str(third["uid"])) == ("CANCEL", "CANCELLED", str(first["uid"]))


async def test_a_token_without_the_scope(hospital: Hospital) -> None:
    """A token that may only read cannot book."""
    mara = await patient_of(hospital)
    tokens = hospital.services.database.collection("oauth_tokens")
    await tokens.update_many({}, {"$set": {"scopes": "patient/*.rs"}})
    await mara.refused("forbidden", "POST", BOOK, booking_of())
