"""The queue at a clinic, and who of its staff may handle it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.facade.clinic import open_clinics, written_slot
from tests.facade.visits.test_clinic import body, due_now, people, staff_of
from tests.facade_server import AppUser, Hospital

WAIT = "/clinic/wait-time"


def seen(minutes: int, number: int = 1) -> dict[str, Any]:
    """Return the Encounter of somebody who was with the first doctor for so many minutes today."""
    now = datetime.now(UTC)
    began = {"start": (now - timedelta(minutes=minutes)).isoformat()}
    return {
        "resourceType": "Encounter",
        "id": f"seen-{number}",
        "status": "finished",
        "class": {"code": "AMB"},
        "participant": [{"individual": {"reference": "Practitioner/okpara"}}],
        "location": [{"location": {"reference": "Location/harbour"}}],
        "statusHistory": [{"status": "in-progress", "period": began}],
        "period": {"start": now.isoformat(), "end": now.isoformat()},
    }


async def arrived(hospital: Hospital, count: int) -> list[tuple[AppUser, dict[str, Any]]]:
    """Return users who have come in this order."""
    result = await people(hospital, count)
    for user, appointment in result:
        await user.ask("POST", "/clinic/arrival", body(appointment))
    return result


async def test_the_wait_is_the_mean_of_today_s_visits(hospital: Hospital) -> None:
    """Once visits are finished their mean length counts, for those who wait and for who asks at the clinic."""
    (first, one), (second, two), (third, three) = await arrived(hospital, 3)
    await hospital.put(seen(10, 1), seen(20, 2))
    for user, item, wait in ((first, one, 0), (second, two, 15), (third, three, 30)):
        answer = await user.ask("GET", f"{WAIT}?appointment_id={item['id']}")
        assert (answer["current_wait_time"], answer["queue_length"]) == (wait, 3)
    at_clinic = await first.ask("GET", f"{WAIT}?clinic_id=harbour&doctor_id=okpara")
    assert (at_clinic["current_wait_time"], at_clinic["queue_position"]) == (45, None)
    assert at_clinic.keys() == {
        *("clinic_id", "doctor_id", "queue_length", "queue_position", "current_wait_time", "estimated_start")
    }


async def test_without_finished_visits_the_slot_s_length_counts(hospital: Hospital) -> None:
    """A doctor with slots of twenty minutes makes one wait so long for each who is ahead, at the clinic, too."""
    await open_clinics(hospital)
    await hospital.put(written_slot(9), written_slot(10))
    for name, slot in (("mara", "ferrand-9"), ("noor", "ferrand-10")):
        user = await hospital.sign_up(name)
        form = {"doctor_id": "ferrand", "clinic_id": "hillside", "specialty_id": "skin", "slot_id": slot}
        form |= {"appointment_date": None, "appointment_time": None}
        appointment = await due_now(hospital, user, **form)
        visit = await user.ask("POST", "/clinic/arrival", body(appointment))
    assert (visit["queue_position"], visit["current_wait_time"]) == (2, 20)
    answer = await user.ask("GET", f"{WAIT}?clinic_id=hillside")
    assert answer["current_wait_time"] == 40


async def test_the_status_of_those_who_come(hospital: Hospital) -> None:
    """The first one is arrived and next, the others stand in the queue."""
    users = await people(hospital, 2)
    visits = [await user.ask("POST", "/clinic/arrival", body(item)) for user, item in users]
    assert [(visit["status"], visit["queue_position"]) for visit in visits] == [("arrived", 1), ("in_queue", 2)]


async def test_staff_sees_the_queue_of_its_own_clinic(hospital: Hospital) -> None:
    """Staff asks for any appointment of its clinic; those of another do not exist for it, nor does a user's account."""
    ((_, appointment),) = await arrived(hospital, 1)
    path = f"{WAIT}?appointment_id={appointment['id']}"
    doctor, stranger = await staff_of(hospital, "okpara"), await staff_of(hospital, "ferrand")
    assert (await doctor.ask("GET", path))["queue_position"] == 1
    await stranger.refused("not_found", "GET", path)
    problem = await stranger.refused("validation_failed", "POST", "/clinic/visit/complete", body(appointment))
    assert [error["field"] for error in problem["errors"]] == ["appointment_id"]
    for own in ("/user/profile", "/user/family", "/notifications", "/history/appointments", "/user/export"):
        await doctor.refused("forbidden", "GET", own)


async def test_staff_whose_role_has_ended(hospital: Hospital) -> None:
    """Who does not work at the clinic any more handles nothing there."""
    ((_, appointment),) = await people(hospital, 1)
    doctor = await staff_of(hospital, "okpara")
    role = (await hospital.fhir("GET", "PractitionerRole?practitioner=Practitioner/okpara"))["entry"][0]["resource"]
    await hospital.put(role | {"active": False})
    await doctor.refused("validation_failed", "POST", "/clinic/arrival", body(appointment))
