"""Communications made of what is written: once each, over crashes and with several workers."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from fhir_server.hospital.notifications.job import deal_with, feed
from fhir_server.hospital.notifications.sender import Teller
from tests.notifications.told import BASE, SUBJECT, Hospital, appointment, moment, patient, spanish, worker, working

REPORT = {"resourceType": "DiagnosticReport", "id": "r", "status": "final", "code": {"text": "Glucose"}}
ORDER = {"resourceType": "MedicationRequest", "id": "m", "status": "active", "intent": "order"}
PLAN = {"resourceType": "CarePlan", "id": "p", "status": "active", "intent": "plan", "title": "Rest and walk"}
DOCUMENT = {
    "resourceType": "DocumentReference",
    "id": "d",
    "status": "current",
    "description": "X-ray of the hand",
    "content": [{"attachment": {"contentType": "application/pdf", "title": "x-ray.pdf"}}],
}


async def test_a_booking_is_told_in_the_patient_s_language_and_on_the_patient_s_clock(hospital: Hospital) -> None:
    """A Spanish patient reads in Spanish, by Madrid's clock, and an app may show the same in English."""
    await hospital.put(spanish())
    async with working(hospital.services):
        await hospital.put(appointment(start="2031-07-01T08:30:00Z"))
        assert await hospital.kinds(1) == ["appointment_booked"]
    reported = (await hospital.told())[0]
    assert reported["language"] == "es"
    text = (
        "Su cita con Dr. Luz Gil en Clínica Norte está reservada para el martes 1 de julio de 2031 a las 10:30 CEST "
        "(08:30 UTC en la clínica)."
    )
    assert reported["payload"][0]["contentString"] == text
    parts = reported["payload"][0]["_contentString"]["extension"][0]["extension"]
    assert {"url": "lang", "valueCode": "en"} in parts
    assert "Tuesday 1 July 2031 at 10:30 CEST (08:30 UTC at the clinic)" in next(
        part["valueString"] for part in parts if part["url"] == "content"
    )
    assert reported["recipient"] == [SUBJECT]
    assert reported["about"] == [{"reference": "Appointment/visit"}]


async def test_without_a_clock_of_its_own_a_patient_reads_the_clinic_s(hospital: Hospital) -> None:
    """A patient without time zone is told the time that the clinic's clock shows."""
    zone = {"url": "http://hl7.org/fhir/StructureDefinition/timezone", "valueCode": "America/New_York"}
    await hospital.put({"resourceType": "Location", "id": "clinic", "name": "North", "extension": [zone]})
    async with working(hospital.services):
        await hospital.put(appointment(start="2031-07-01T08:30:00Z"))
        await hospital.kinds(1)
    assert "at 04:30 EDT." in (await hospital.told())[0]["payload"][0]["contentString"]


async def test_an_appointment_s_life_is_told_step_by_step(hospital: Hospital) -> None:
    """Booking, moving and cancelling are each told; a change of something else is not."""
    async with working(hospital.services):
        await hospital.put(appointment(start=moment(2)))
        await hospital.put(appointment(start=moment(2), comment="Bring the papers"))
        await hospital.put(appointment(start=moment(3)))
        await hospital.put(appointment(start=moment(3), status="cancelled"))
        await hospital.all_told()
        kinds = await hospital.kinds(3)
    assert kinds == ["appointment_booked", "appointment_rescheduled", "appointment_canceled"]


async def test_every_door_is_told_of(hospital: Hospital) -> None:
    """A transaction of another system's resources tells of each: result, prescription, plan and document."""
    medicine = {"medicationCodeableConcept": {"text": "Amoxicillin"}}
    resources: list[dict[str, Any]] = [REPORT, {**ORDER, **medicine}, PLAN, DOCUMENT]
    entries = [
        {"resource": {**item, "subject": SUBJECT}, "request": {"method": "POST", "url": item["resourceType"]}}
        for item in resources
    ]
    async with working(hospital.services):
        await hospital.ask("POST", "", {"resourceType": "Bundle", "type": "transaction", "entry": entries})
        kinds = await hospital.kinds(4)
    assert sorted(kinds) == ["document_added", "prescription_added", "result_ready", "treatment_plan_added"]
    texts = " ".join(item["payload"][0]["contentString"] for item in await hospital.told())
    for what in ("Glucose", "Amoxicillin", "Rest and walk", "X-ray of the hand"):
        assert what in texts


async def test_a_medicine_elsewhere_is_looked_up(hospital: Hospital) -> None:
    """A prescription that refers to a Medication is told by that one's name."""
    await hospital.put({"resourceType": "Medication", "id": "med", "code": {"text": "Ibuprofen 400 mg"}})
    order = {**ORDER, "subject": SUBJECT, "medicationReference": {"reference": "Medication/med"}}
    async with working(hospital.services):
        await hospital.put(order)
        await hospital.kinds(1)
    assert "Ibuprofen 400 mg" in (await hospital.told())[0]["payload"][0]["contentString"]


async def test_what_is_loaded_is_no_news(hospital: Hospital) -> None:
    """What a load or an import writes is told to nobody, but a change of it that comes later is."""
    async with working(hospital.services):
        await hospital.put(appointment(start=moment(2)), quiet=True)
        await hospital.ask("DELETE", "Appointment/visit", quiet=True)
        await hospital.put(appointment(start=moment(2)), quiet=True)
        await hospital.put(appointment(start=moment(5)))
        assert await hospital.kinds(1) == ["appointment_rescheduled"]


async def test_old_news_is_none(hospital: Hospital) -> None:
    """A visit that is over, and a result of last year, are history that somebody writes down."""
    async with working(hospital.services):
        await hospital.put(appointment(start=moment(-1)))
        await hospital.put({**REPORT, "subject": SUBJECT, "issued": moment(-365)})
        await hospital.all_told()
        assert await hospital.told() == []


@pytest.mark.parametrize("gone", [{"active": False}, {"deceasedBoolean": True}])
async def test_who_is_not_there_is_not_told(hospital: Hospital, gone: dict[str, Any]) -> None:
    """Neither an account that is closed nor somebody who has died gets messages."""
    await hospital.put(patient(**gone))
    async with working(hospital.services):
        await hospital.put(appointment(start=moment(2)))
        await hospital.all_told()
        assert await hospital.told() == []


async def test_two_workers_tell_once(hospital: Hospital) -> None:
    """With two workers that attend to the job each event is told once."""
    async with working(hospital.services, "one"), working(hospital.services, "two"):
        for number in range(20):
            await hospital.put(appointment(f"visit-{number}", start=moment(2)))
        await hospital.kinds(20)
        await hospital.all_told()
        assert len(await hospital.told()) == 20


async def test_what_is_written_while_nobody_works_is_told_later(hospital: Hospital) -> None:
    """A worker that starts goes on where the last one stopped."""
    async with working(hospital.services):
        await hospital.put(appointment("first", start=moment(2)))
        await hospital.kinds(1)
    await hospital.put(appointment("second", start=moment(2)))
    async with working(hospital.services):
        assert len(await hospital.kinds(2)) == 2


async def test_a_worker_killed_at_any_moment_loses_and_doubles_nothing(hospital: Hospital) -> None:
    """Workers cut off again and again, wherever they are, tell all of it once."""
    for number in range(30):
        await hospital.put(appointment(f"visit-{number}", start=moment(2)))
    for milliseconds in range(0, 120, 8):
        runner = worker(hospital.services)
        runner.start()
        await asyncio.sleep(milliseconds / 1000)
        await runner.stop()
    async with working(hospital.services):
        await hospital.kinds(30)
        await hospital.all_told()
    reported = await hospital.told()
    assert sorted(item["about"][0]["reference"] for item in reported) == sorted(
        f"Appointment/visit-{number}" for number in range(30)
    )


async def test_an_event_told_again_stays_one(hospital: Hospital) -> None:
    """Redelivery makes no second Communication, not even where the patient has deleted the first."""
    teller = Teller(hospital.services, BASE)
    await hospital.put(appointment(start=moment(2)))
    async with aclosing(feed(hospital.services).follow()) as changes:
        change = await anext(changes)
    for _ in range(2):
        await deal_with(hospital.services, teller, change)
    reported = await hospital.told()
    assert len(reported) == 1
    await hospital.ask("DELETE", f"Communication/{reported[0]['id']}")
    await deal_with(hospital.services, teller, change)
    assert await hospital.told() == []


async def test_a_position_that_the_log_no_longer_knows_loses_nothing(hospital: Hospital) -> None:
    """Where the database's log does not reach back, what was stored since is found by its time."""
    await hospital.put(appointment(start=moment(2)))
    await hospital.put(appointment(start=moment(3)))
    positions = hospital.services.database.collection("change_positions")
    await positions.update_one({}, {"$set": {"position": "A" * 40}})
    async with working(hospital.services):
        assert sorted(await hospital.kinds(2)) == ["appointment_booked", "appointment_rescheduled"]
        await hospital.all_told()
        assert len(await hospital.told()) == 2
