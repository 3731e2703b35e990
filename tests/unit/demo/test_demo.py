"""The demo clinic."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pytest

from fhir_server.hospital.demo import bundle, calendar
from fhir_server.r4.validation import validate

_TODAY = date(2025, 10, 28)


def _resources(content: dict[str, Any], resource_type: str | None = None) -> list[dict[str, Any]]:
    resources = [entry["resource"] for entry in content["entry"]]
    return [item for item in resources if resource_type in (None, item["resourceType"])]


def _references(value: Any) -> list[str]:
    if isinstance(value, list):
        return [reference for item in value for reference in _references(item)]
    if not isinstance(value, dict):
        return []
    own = [value["reference"]] if isinstance(value.get("reference"), str) else []
    return own + _references(list(value.values()))


def test_the_demo_is_valid_fhir() -> None:
    """The bundle, and so every resource in it, has no fault."""
    assert [issue for issue in validate(bundle(_TODAY), max_depth=100) if issue.severity in ("error", "fatal")] == []


def test_every_reference_is_met() -> None:
    """Each reference in the demo leads to a resource of the demo."""
    content = bundle(_TODAY)
    values = {f"{item['resourceType']}/{item.get('id')}" for item in _resources(content)}
    values |= {entry["fullUrl"] for entry in content["entry"] if "fullUrl" in entry}
    assert {reference for reference in _references(content) if reference not in values} == set()


def test_no_entry_stands_twice() -> None:
    """Each URL and each condition is that of one entry."""
    requests = [entry["request"] for entry in bundle(_TODAY)["entry"]]
    targets = [request.get("ifNoneExist", request["url"]) for request in requests]
    assert len(targets) == len(set(targets))


def test_the_demo_covers_the_journey() -> None:
    """Two clinics, specialties with a fee, doctors, patients and each kind of record of a patient's journey exist."""
    content = bundle(_TODAY)
    counts = {name: len(_resources(content, name)) for name in {item["resourceType"] for item in _resources(content)}}
    assert counts["Location"] == 2
    fees = [item["extension"][0]["url"].rpartition("/")[2] for item in _resources(content, "HealthcareService")]
    assert fees == ["fee"] * 5
    needed = {
        "Practitioner", "PractitionerRole", "Schedule", "Slot", "Patient", "RelatedPerson", "Coverage", "Appointment",
        "Encounter", "Condition", "Observation", "MedicationRequest", "ServiceRequest", "DiagnosticReport", "CarePlan",
        "DocumentReference", "Binary", "Invoice", "PaymentReconciliation", "Communication",
    }  # fmt: skip
    assert needed <= counts.keys()


@pytest.mark.parametrize("ahead", range(15))
def test_any_day_gives_every_patient_one_coming_appointment(ahead: int) -> None:
    """Whatever the day of the load, each of the four patients has one appointment in the two weeks after it."""
    visits = _resources(calendar(_TODAY + timedelta(days=ahead)), "Appointment")
    patients = [visit["participant"][0]["actor"]["reference"] for visit in visits]
    assert sorted(patients) == [
        "Patient/elias-okonjo", "Patient/mara-lindqvist", "Patient/noor-haddane", "Patient/tomas-aldabe",
    ]  # fmt: skip


def test_slots_lie_after_today() -> None:
    """No slot is on the day of the load or more than two weeks later."""
    days = {datetime.fromisoformat(slot["start"]).date() for slot in _resources(calendar(_TODAY), "Slot")}
    assert min(days) > _TODAY
    assert max(days) <= _TODAY + timedelta(days=14)


def test_slots_keep_the_clock_of_the_clinic() -> None:
    """Over the end of daylight saving time a doctor's first visit stays at the same time of day."""
    slots = [slot for slot in _resources(calendar(_TODAY), "Slot") if "petrossian" in slot["schedule"]["reference"]]
    starts = {slot["start"] for slot in slots}
    assert {"2025-10-31T08:30:00-05:00", "2025-11-03T08:30:00-06:00"} <= starts


def test_days_of_two_loads_agree() -> None:
    """What a day holds does not depend on when it was loaded, so a second load can only add."""
    first, second = (
        {entry["request"]["ifNoneExist"]: entry for entry in calendar(_TODAY + timedelta(days=ahead))["entry"]}
        for ahead in (0, 5)
    )
    shared = first.keys() & second.keys()
    assert len(shared) > 50
    assert all(first[condition] == second[condition] for condition in shared)


def test_a_taken_slot_is_busy() -> None:
    """The slot of each appointment is busy, and most others are free."""
    content = calendar(_TODAY)
    slots = {entry["fullUrl"]: entry["resource"] for entry in content["entry"] if entry["request"]["url"] == "Slot"}
    taken = {visit["slot"][0]["reference"] for visit in _resources(content, "Appointment")}
    assert {slots[url]["status"] for url in taken} == {"busy"}
    assert sum(slot["status"] == "free" for slot in slots.values()) > 150
