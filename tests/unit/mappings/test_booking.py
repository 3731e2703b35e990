"""Booking transactions change an appointment and its slots together, on condition of the versions that were seen."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from fhir_server.r4.validation import validate
from mappings.billing import payments
from mappings.booking import appointments, booking
from mappings.booking.appointments import Appointment
from mappings.catalogue.availability import Opening, computed, computed_id
from mappings.shared.clinic_clock import wall_time
from mappings.visits.visit_tracking import Visit

CLOCK = ZoneInfo("America/New_York")
START = datetime(2026, 3, 9, 9, 30, tzinfo=CLOCK)
END = datetime(2026, 3, 9, 10, 0, tzinfo=CLOCK)
ROLE: dict[str, Any] = {
    "resourceType": "PractitionerRole",
    "id": "r",
    "practitioner": {"reference": "Practitioner/d"},
    "location": [{"reference": "Location/c"}],
}
ROW = Appointment(id="a", user_id="u", doctor_id="d", clinic_id="c", specialty_id="h", reason="Cough")


def stored(resource: dict[str, Any], version: int = 1) -> dict[str, Any]:
    return resource | {"meta": {"versionId": str(version)}}


SCHEDULE = stored(booking.schedule_of(ROLE, CLOCK) | {"id": "sch"})


def slot(logical_id: str, status: str, version: int = 4) -> dict[str, Any]:
    times = {"start": START.isoformat(), "end": END.isoformat()}
    reference = {"reference": "Schedule/sch"}
    return stored({"resourceType": "Slot", "id": logical_id, "schedule": reference, "status": status, **times}, version)


def requests(bundle: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {entry["request"]["url"]: entry["request"] for entry in bundle["entry"]}


def resources(bundle: dict[str, Any]) -> dict[str, dict[str, Any]]:
    for entry in bundle["entry"]:
        issues = validate(entry["resource"], max_depth=50)
        assert [issue for issue in issues if issue.severity == "error"] == []
    return {entry["request"]["url"]: entry["resource"] for entry in bundle["entry"]}


def booked(status: str = "booked") -> dict[str, Any]:
    row = ROW.model_copy(
        update={"appointment_date": START.date(), "appointment_time": START.time(), "slot_ids": ("s",)}
    )
    return stored(appointments.to_fhir(row, CLOCK) | {"status": status}, 2)


def test_booking_a_written_slot() -> None:
    """A written slot becomes busy on condition of the version that was free, and the appointment must be new."""
    bundle = booking.book(ROW, Opening("s", START, END, "free", slot("s", "free")), CLOCK, schedule=SCHEDULE)
    assert requests(bundle)["Slot/s"] == {"method": "PUT", "url": "Slot/s", "ifMatch": 'W/"4"'}
    assert requests(bundle)["Appointment/a"]["ifNoneMatch"] == "*"
    result = resources(bundle)
    assert result["Slot/s"]["status"] == "busy"
    row = appointments.from_fhir(result["Appointment/a"], CLOCK)
    assert (row.appointment_date, row.appointment_time, row.slot_ids) == (date(2026, 3, 9), time(9, 30), ("s",))


def test_booking_a_computed_opening() -> None:
    """An opening without a resource gets one whose id its start decides, and which must not be there yet."""
    opening = Opening(computed_id("r", START), START, END, "free")
    bundle = booking.book(ROW, opening, CLOCK, schedule=SCHEDULE)
    request = requests(bundle)[f"Slot/{opening.id}"]
    assert request["ifNoneMatch"] == "*"
    result = resources(bundle)[f"Slot/{opening.id}"]
    assert (result["status"], result["schedule"]) == ("busy", {"reference": "Schedule/sch"})


def test_the_first_booking_makes_the_schedule() -> None:
    """A doctor without a Schedule gets one conditionally, and the slot refers to whichever comes of it."""
    opening = Opening(computed_id("r", START), START, END, "free")
    bundle = booking.book(ROW, opening, CLOCK, schedule=booking.schedule_of(ROLE, CLOCK))
    made = next(entry for entry in bundle["entry"] if entry["resource"]["resourceType"] == "Schedule")
    assert made["request"]["ifNoneExist"].endswith("/schedule|r")
    assert resources(bundle)[f"Slot/{opening.id}"]["schedule"] == {"reference": made["fullUrl"]}


def test_a_time_that_comes_twice() -> None:
    """The second half past one of a night when the clock goes back is booked as the second one."""
    around_the_clock = {**ROLE, "availableTime": [{"allDay": True}]}
    openings = computed(around_the_clock, {}, date(2026, 11, 1), CLOCK)
    twice = [item for item in openings if wall_time(item.start, CLOCK) == time(1, 30)]
    bundles = [booking.book(ROW, item, CLOCK, schedule=SCHEDULE) for item in twice]
    starts = [resources(bundle)["Appointment/a"]["start"] for bundle in bundles]
    assert starts == ["2026-11-01T01:30:00-04:00", "2026-11-01T01:30:00-05:00"]


def test_booking_with_a_fee() -> None:
    """The Invoice over the fee is made in the same transaction."""
    row = payments.Payment(id="i", appointment_id="a", amount="90.00", currency="USD")  # type: ignore[arg-type]
    invoice = payments.to_fhir(row, user_id="u", at=START, description="Visit").invoice
    opening = Opening("s", START, END, "free", slot("s", "free"))
    bundle = booking.book(ROW, opening, CLOCK, schedule=SCHEDULE, invoice=invoice)
    assert resources(bundle)["Invoice/i"]["status"] == "issued"


def test_rescheduling() -> None:
    """Moving an appointment frees the old slot and takes the new one, each in the version that was seen."""
    new = Opening("n", START.replace(hour=11, minute=0), END.replace(hour=11, minute=30), "free", slot("n", "free", 7))
    appointment = booked() | {"comment": "Window seat"}
    bundle = booking.reschedule(appointment, [slot("s", "busy", 5)], new, CLOCK, schedule=SCHEDULE)
    assert {url: request["ifMatch"] for url, request in requests(bundle).items()} == {
        "Appointment/a": 'W/"2"',
        "Slot/s": 'W/"5"',
        "Slot/n": 'W/"7"',
    }
    result = resources(bundle)
    assert (result["Slot/s"]["status"], result["Slot/n"]["status"]) == ("free", "busy")
    assert result["Appointment/a"]["comment"] == "Window seat"
    row = appointments.from_fhir(result["Appointment/a"], CLOCK)
    assert (row.status, row.appointment_time, row.minutes, row.slot_ids) == ("rescheduled", time(11), 30, ("n",))


def test_canceling() -> None:
    """Cancelling frees the slot, and what was paid is marked to be refunded."""
    row = payments.Payment(id="i", appointment_id="a", amount="90.00", currency="USD", status="completed")  # type: ignore[arg-type]
    invoice = stored(payments.to_fhir(row, user_id="u", at=START).invoice, 3)
    bundle = booking.cancel(booked(), [slot("s", "busy")], reason="Better", invoice=invoice)
    result = resources(bundle)
    assert appointments.from_fhir(result["Appointment/a"], CLOCK).status == "canceled"
    assert result["Appointment/a"]["cancelationReason"] == {"text": "Better"}
    assert result["Slot/s"]["status"] == "free"
    assert payments.from_fhir(result["Invoice/i"]).refund_status == "pending"


def test_canceling_what_was_not_paid() -> None:
    """An invoice that nobody paid is cancelled without a refund."""
    row = payments.Payment(id="i", appointment_id="a", amount="90.00", currency="USD")  # type: ignore[arg-type]
    invoice = stored(payments.to_fhir(row, user_id="u", at=START).invoice)
    result = resources(booking.cancel(booked(), [], invoice=invoice))["Invoice/i"]
    assert (result["status"], payments.from_fhir(result).refund_status) == ("cancelled", None)


def test_a_visit_from_arrival_to_the_end() -> None:
    """Arriving makes the one Encounter of the appointment, and completing ends both."""
    visit = Visit(id="a", appointment_id="a", check_in_time=START, status="arrived")
    bundle = booking.arrive(booked(), visit)
    assert requests(bundle)["Encounter/a"]["ifNoneMatch"] == "*"
    result = resources(bundle)
    assert result["Appointment/a"]["status"] == "arrived"
    ended = booking.complete(stored(result["Appointment/a"], 3), stored(result["Encounter/a"]), END.astimezone(UTC))
    assert {url: request["ifMatch"] for url, request in requests(ended).items()} == {
        "Encounter/a": 'W/"1"',
        "Appointment/a": 'W/"3"',
    }
    encounter = resources(ended)["Encounter/a"]
    assert (encounter["status"], encounter["period"]["end"]) == ("finished", "2026-03-09T14:00:00Z")
    assert encounter["statusHistory"][0]["status"] == "arrived"
    assert appointments.from_fhir(resources(ended)["Appointment/a"], CLOCK).status == "completed"
