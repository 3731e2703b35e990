"""Endpoints 22 to 25: arriving, waiting, the end of the visit, and following up."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fhir_server.hospital.accounts import sessions
from tests.facade.clinic import MONDAY, booking_of, open_clinics, policy_of
from tests.facade_server import PASSWORD, AppUser, Hospital

TIMES = ("09:00", "09:30", "10:00", "10:30", "11:00")


async def due_now(
    hospital: Hospital, user: AppUser, time: str = "09:00", *, minutes: int = 30, **overrides: Any
) -> dict[str, Any]:
    """Return an appointment of the user that begins in so many minutes."""
    booked = await user.ask("POST", "/booking/appointments", booking_of(time, **overrides), status=201)
    appointment = await hospital.fhir("GET", f"Appointment/{booked['id']}")
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=minutes)
    times = {"start": start.isoformat(), "end": (start + timedelta(minutes=30)).isoformat()}
    await hospital.put(appointment | times)
    result: dict[str, Any] = booked
    return result


async def people(hospital: Hospital, count: int) -> list[tuple[AppUser, dict[str, Any]]]:
    """Return users who have appointments with the same doctor now."""
    await open_clinics(hospital)
    users = [await hospital.sign_up(f"user{number}", phone=f"+1207555{number:04d}") for number in range(count)]
    return [(user, await due_now(hospital, user, time)) for user, time in zip(users, TIMES, strict=False)]


def body(appointment: dict[str, Any], **overrides: Any) -> dict[str, Any]:
    return {"appointment_id": appointment["id"], **overrides}


async def staff_of(hospital: Hospital, practitioner_id: str) -> AppUser:
    """Return the app in the hands of a member of the staff."""
    from fhir_server.cli import accounts

    store = hospital.app.state.oauth.store
    work = accounts.add_user(
        practitioner_id, PASSWORD, "practitioner", f"Practitioner/{practitioner_id}", create_patient=False
    )
    await work(hospital.services, store)
    user = await store.users.find_by_name(practitioner_id)
    return AppUser(hospital.http, (await sessions.begin(store, user)).model_dump())


async def test_arriving(hospital: Hospital) -> None:
    """Who arrives first is next, and the Appointment and its one Encounter say so."""
    ((mara, appointment),) = await people(hospital, 1)
    visit = await mara.ask("POST", "/clinic/arrival", body(appointment, latitude=43.659, longitude=-70.255))
    assert (visit["appointment_id"], visit["status"], visit["queue_position"]) == (appointment["id"], "arrived", 1)
    assert (visit["current_wait_time"], visit["check_out_time"]) == (0, None)
    assert visit["check_in_time"]
    encounter = await hospital.fhir("GET", f"Encounter/{visit['id']}")
    assert encounter["appointment"] == [{"reference": f"Appointment/{appointment['id']}"}]
    assert (await hospital.fhir("GET", f"Appointment/{appointment['id']}"))["status"] == "arrived"
    await mara.refused("already_arrived", "POST", "/clinic/arrival", body(appointment))


async def test_arriving_twice_at_once(hospital: Hospital) -> None:
    """Of two arrivals at once one is registered."""
    ((mara, appointment),) = await people(hospital, 1)
    answers = await asyncio.gather(*(mara.send("POST", "/clinic/arrival", body(appointment)) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409]
    assert (await hospital.fhir("GET", "Encounter"))["total"] == 1


async def test_too_early(hospital: Hospital) -> None:
    """More than two hours before is too early."""
    await open_clinics(hospital)
    mara = await hospital.sign_up("mara")
    appointment = await due_now(hospital, mara, minutes=125)
    await mara.refused("too_early", "POST", "/clinic/arrival", body(appointment))


async def test_too_far(hospital: Hospital) -> None:
    """More than a kilometre away is too far, if it is known where one is."""
    ((mara, appointment),) = await people(hospital, 1)
    far = body(appointment, latitude=43.68, longitude=-70.2553)
    await mara.refused("too_far", "POST", "/clinic/arrival", far)
    await mara.ask("POST", "/clinic/arrival", body(appointment))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"latitude": 1}, "body"),
        ({"latitude": 91, "longitude": 0}, "latitude"),
        ({"appointment_id": "x"}, "appointment_id"),
        ({"appointment_id": None}, "appointment_id"),
    ],
)
async def test_faulty_arrivals(hospital: Hospital, changes: dict[str, Any], field: str) -> None:
    """What is wrong with an arrival is named."""
    ((mara, appointment),) = await people(hospital, 1)
    problem = await mara.refused("validation_failed", "POST", "/clinic/arrival", body(appointment) | changes)
    assert [error["field"] for error in problem["errors"]] == [field]


async def test_a_queue_of_three(hospital: Hospital) -> None:
    """Three who arrive wait in that order, each a slot's length longer; when one is done the others move up."""
    (first, one), (second, two), (third, three) = await people(hospital, 3)
    for user, appointment in ((second, two), (first, one), (third, three)):
        await user.ask("POST", "/clinic/arrival", body(appointment))
    waits = [
        await user.ask("GET", f"/clinic/wait-time?appointment_id={item['id']}")
        for user, item in ((second, two), (first, one), (third, three))
    ]
    assert [wait["queue_position"] for wait in waits] == [1, 2, 3]
    assert [wait["current_wait_time"] for wait in waits] == [0, 30, 60]
    assert {wait["queue_length"] for wait in waits} == {3}
    assert waits[2]["estimated_start"] > waits[1]["estimated_start"]
    done = await second.ask("POST", "/clinic/visit/complete", body(two))
    assert (done["status"], done["queue_position"]) == ("visited", None)
    assert datetime.fromisoformat(done["check_out_time"]) >= datetime.fromisoformat(done["check_in_time"])
    assert (await hospital.fhir("GET", f"Appointment/{two['id']}"))["status"] == "fulfilled"
    moved = await third.ask("GET", f"/clinic/wait-time?appointment_id={three['id']}")
    assert (moved["queue_position"], moved["queue_length"]) == (2, 2)
    again = await second.ask("POST", "/clinic/visit/complete", body(two))
    assert again["check_out_time"] == done["check_out_time"]


async def test_waiting_at_a_clinic(hospital: Hospital) -> None:
    """Anyone signed in may ask how long one waits at a clinic; nobody is told who waits."""
    (first, one), (second, two) = await people(hospital, 2)
    for user, appointment in ((first, one), (second, two)):
        await user.ask("POST", "/clinic/arrival", body(appointment))
    noor = await hospital.sign_up("noor")
    for query in ("clinic_id=harbour", "clinic_id=harbour&doctor_id=okpara"):
        answer = await noor.ask("GET", f"/clinic/wait-time?{query}")
        assert (answer["queue_length"], answer["queue_position"], answer["current_wait_time"]) == (2, None, 60)
    empty = await noor.ask("GET", "/clinic/wait-time?clinic_id=hillside")
    assert (empty["queue_length"], empty["current_wait_time"]) == (0, 0)
    await noor.refused("not_found", "GET", "/clinic/wait-time?clinic_id=nowhere")
    await noor.refused("not_found", "GET", f"/clinic/wait-time?appointment_id={one['id']}")
    await noor.refused("validation_failed", "GET", "/clinic/wait-time")


async def test_before_arriving(hospital: Hospital) -> None:
    """Who has not arrived neither waits nor is done."""
    ((mara, appointment),) = await people(hospital, 1)
    await mara.refused("not_arrived", "GET", f"/clinic/wait-time?appointment_id={appointment['id']}")
    await mara.refused("not_arrived", "POST", "/clinic/visit/complete", body(appointment))


async def test_an_encounter_of_the_vendor(hospital: Hospital) -> None:
    """A visit that an EHR vendor registered is the appointment's visit here, too."""
    ((mara, appointment),) = await people(hospital, 1)
    encounter = {
        "resourceType": "Encounter",
        "id": "vendor",
        "status": "arrived",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
        "subject": {"reference": f"Patient/{mara.id}"},
        "appointment": [{"reference": f"Appointment/{appointment['id']}"}],
        "participant": [{"individual": {"reference": "Practitioner/okpara"}}],
        "location": [{"location": {"reference": "Location/harbour"}}],
        "period": {"start": datetime.now(UTC).isoformat()},
    }
    await hospital.put(encounter)
    await mara.refused("already_arrived", "POST", "/clinic/arrival", body(appointment))
    answer = await mara.ask("GET", f"/clinic/wait-time?appointment_id={appointment['id']}")
    assert answer["queue_position"] == 1


async def test_what_is_anothers(hospital: Hospital) -> None:
    """Another user's appointment does not exist for a user, and staff handles those of its own clinics only."""
    ((_, appointment),) = await people(hospital, 1)
    noor = await hospital.sign_up("noor")
    for path in ("/clinic/arrival", "/clinic/visit/complete"):
        await noor.refused("validation_failed", "POST", path, body(appointment))
    stranger = await staff_of(hospital, "ferrand")
    await stranger.refused("validation_failed", "POST", "/clinic/arrival", body(appointment))
    doctor = await staff_of(hospital, "okpara")
    await doctor.ask("POST", "/clinic/arrival", body(appointment))
    assert (await doctor.ask("POST", "/clinic/visit/complete", body(appointment)))["status"] == "visited"


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/clinic/arrival"), ("GET", "/clinic/wait-time?clinic_id=harbour"), ("POST", "/clinic/visit/complete")],
)
async def test_no_token(hospital: Hospital, method: str, path: str) -> None:
    """A visitor is told nothing."""
    await hospital.visitor().refused("invalid_token", method, path, {})


# --- Following up ------------------------------------------------------------------------------------------------


async def completed(hospital: Hospital) -> tuple[AppUser, dict[str, Any]]:
    await open_clinics(hospital)
    mara = await hospital.sign_up("mara")
    booked = await mara.ask("POST", "/booking/appointments", booking_of(), status=201)
    appointment = await hospital.fhir("GET", f"Appointment/{booked['id']}")
    await hospital.put(appointment | {"status": "fulfilled"})
    return mara, booked


def again(appointment: dict[str, Any], **overrides: Any) -> dict[str, Any]:
    when = {"appointment_date": MONDAY.isoformat(), "appointment_time": "11:00"}
    return {"appointment_id": appointment["id"], **when, **overrides}


async def test_following_up(hospital: Hospital) -> None:
    """A follow-up is linked to the first appointment, with the same doctor and clinic unless others are given."""
    mara, first = await completed(hospital)
    answer = await mara.ask("POST", "/follow-up/appointment", again(first, reason="Control"), status=201)
    same = ("doctor_id", "clinic_id", "specialty_id")
    assert [answer[name] for name in same] == [first[name] for name in same]
    assert (answer["follow_up_to"], answer["reason"], answer["appointment_time"]) == (first["id"], "Control", "11:00")
    stored = await hospital.fhir("GET", f"Appointment/{answer['id']}")
    assert stored["appointmentType"]["coding"][0]["code"] == "FOLLOWUP"
    assert {"reference": f"Appointment/{first['id']}"} in stored["supportingInformation"]
    await mara.refused("slot_taken", "POST", "/follow-up/appointment", again(first))
    other = {"appointment_id": first["id"], "doctor_id": "ferrand", "clinic_id": "hillside", "slot_id": "ferrand-9"}
    elsewhere = await mara.ask("POST", "/follow-up/appointment", other, status=201)
    assert (elsewhere["doctor_id"], elsewhere["slot_id"]) == ("ferrand", "ferrand-9")


async def test_following_up_for_the_same_child_and_policy(hospital: Hospital) -> None:
    """A follow-up is for the same family member and policy, or others of one's own, as long as those are there."""
    await open_clinics(hospital)
    mara, noor = await hospital.sign_up("mara"), await hospital.sign_up("noor")
    member = {"name": "Ada", "relation": "child", "dob": "2019-05-01"}
    ada, bo = [await mara.ask("POST", "/user/family", member | {"name": name}, status=201) for name in ("Ada", "Bo")]
    foreign = await noor.ask("POST", "/user/family", member, status=201)
    await hospital.put(policy_of(mara.id), policy_of(mara.id, id="second"), policy_of(noor.id))
    people = {"family_member_id": ada["id"], "insurance_coverage_id": f"policy-{mara.id}"}
    first = await mara.ask("POST", "/booking/appointments", booking_of(**people), status=201)
    stored = await hospital.fhir("GET", f"Appointment/{first['id']}")
    await hospital.put(stored | {"status": "fulfilled"})
    for field, value in (("family_member_id", foreign["id"]), ("insurance_coverage_id", f"policy-{noor.id}")):
        problem = await mara.refused(
            "validation_failed", "POST", "/follow-up/appointment", again(first, **{field: value})
        )
        assert [error["field"] for error in problem["errors"]] == [field]
    same = await mara.ask("POST", "/follow-up/appointment", again(first), status=201)
    assert {name: same[name] for name in people} == people
    assert same["amount_due"] is not None
    others = {"family_member_id": bo["id"], "insurance_coverage_id": "second"}
    other = again(first, appointment_time="11:30", **others)
    answer = await mara.ask("POST", "/follow-up/appointment", other, status=201)
    assert {name: answer[name] for name in others} == others
    await mara.ask("DELETE", f"/user/family/{ada['id']}", status=204)
    await hospital.put(policy_of(mara.id) | {"beneficiary": {"reference": f"Patient/{noor.id}"}})
    left = await mara.ask("POST", "/follow-up/appointment", again(first, appointment_time="10:00"), status=201)
    assert {name: left[name] for name in people} == dict.fromkeys(people)


async def test_following_up_what_is_not_done(hospital: Hospital) -> None:
    """Only a completed appointment of one's own is followed up."""
    mara, first = await completed(hospital)
    second = await mara.ask("POST", "/booking/appointments", booking_of("10:00"), status=201)
    await mara.refused("not_completed", "POST", "/follow-up/appointment", again(second))
    noor = await hospital.sign_up("noor")
    problem = await noor.refused("validation_failed", "POST", "/follow-up/appointment", again(first))
    assert problem["errors"][0]["field"] == "appointment_id"
    await hospital.visitor().refused("invalid_token", "POST", "/follow-up/appointment", again(first))
    await mara.refused("outside_hours", "POST", "/follow-up/appointment", again(first, appointment_time="20:00"))
