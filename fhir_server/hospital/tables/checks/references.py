"""What rows say of others: the rows that they refer to exist and are the same user's. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any

from fhir_server.hospital.tables.checks.findings import Finding, noted
from mappings.booking import appointments
from mappings.notifications.notifications import Notification
from mappings.shared import reading
from mappings.shared.elements import Resource
from mappings.shared.rows import Row

Key = tuple[str, str]
"""Type and id of a resource."""
Resources = Mapping[Key, Resource]

_PLAN = {"treatment_plan_id": "CarePlan"}
_VISIT = {"appointment_id": "Appointment"}
REFERENCES: Mapping[str, Mapping[str, str]] = {
    "specialties": {"clinic_id": "Location"},
    "doctors": {"specialty_id": "HealthcareService", "clinic_id": "Location"},
    "user_family": {"user_id": "Patient"},
    "insurance": {"user_id": "Patient"},
    "appointments": {
        "user_id": "Patient",
        "doctor_id": "Practitioner",
        "clinic_id": "Location",
        "specialty_id": "HealthcareService",
        "family_member_id": "RelatedPerson",
        "insurance_coverage_id": "Coverage",
        "follows": "Appointment",
    },
    "treatment_plans": _VISIT,
    "prescriptions": _PLAN,
    "lab_tests": _PLAN,
    "payments": {"appointment_id": "Appointment", "lab_test_id": "ServiceRequest"},
    "medical_documents": {"user_id": "Patient", "appointment_id": "Appointment"},
    "notifications": {"user_id": "Patient"},
    "visit_tracking": _VISIT,
}
"""By table, the columns that name a row of another table, and the type of resource that such a row is."""

_OWNED = {
    "appointments": ("family_member_id", "insurance_coverage_id", "follows"),
    "medical_documents": ("appointment_id",),
}
"""By table, the columns that name a row of the same user."""
_PATIENT_OF = {"RelatedPerson": "patient", "Coverage": "beneficiary"}
_TOLD_OF = frozenset({"Appointment", "Invoice", "CarePlan", "MedicationRequest", "ServiceRequest", "DocumentReference"})
"""What a notification may be about that the import has brought in before it."""


def referred(table: str, row: Row) -> list[Key]:
    """Return the resources of the rows that the row refers to."""
    columns = REFERENCES.get(table, {})
    keys = [(kind, name) for column, kind in columns.items() if (name := getattr(row, column)) is not None]
    if table == "appointments" and (doctor := getattr(row, "doctor_id", None)):
        keys.append(("PractitionerRole", doctor))
    if isinstance(row, Notification) and row.related and row.related.type in _TOLD_OF:
        keys.append((row.related.type, row.related.id))
    return keys


def patient_of(resource: Resource) -> str | None:
    """Return the id of the patient whom a resource is about."""
    if resource["resourceType"] == "Appointment":
        return appointments.actor_id(resource, "Patient")
    return reading.reference_id(resource.get(_PATIENT_OF.get(resource["resourceType"], "subject")), "Patient")


def findings(table: str, row: Any, resources: Resources) -> list[Finding]:
    """Return what is wrong with what the row refers to; `resources` has those that there are."""
    return [*_unknown(table, row, resources), *_others(table, row, resources), *_elsewhere(table, row, resources)]


def _unknown(table: str, row: Any, resources: Resources) -> Iterator[Finding]:
    for column, kind in REFERENCES.get(table, {}).items():
        name = getattr(row, column)
        if name is not None and (kind, name) not in resources:
            yield Finding(column, f"names {kind}/{name}, which is not here: its row is in no table, or was refused")
    if isinstance(row, Notification) and row.related and row.related.type in _TOLD_OF:
        resource = resources.get((row.related.type, row.related.id))
        if resource is None:
            yield noted("related_id", "names nothing that is here")
        elif row.user_id is not None and patient_of(resource) not in (None, row.user_id):
            yield Finding("related_id", "is another user's")


def _others(table: str, row: Any, resources: Resources) -> Iterator[Finding]:
    for column in _OWNED.get(table, ()):
        resource = resources.get((REFERENCES[table][column], getattr(row, column) or ""))
        owner = patient_of(resource) if resource else None
        if owner is not None and owner != row.user_id:
            yield Finding(column, "is another user's")


def _elsewhere(table: str, row: Any, resources: Resources) -> Iterator[Finding]:
    """Yield what is of another clinic; only noted, as services and doctors move and old visits stay where they were."""
    if table not in ("doctors", "appointments") or row.clinic_id is None:
        return
    service = resources.get(("HealthcareService", row.specialty_id or ""), {})
    if _is_elsewhere(service.get("location"), row.clinic_id):
        yield noted("specialty_id", "is of another clinic")
    if table == "appointments":
        role = resources.get(("PractitionerRole", row.doctor_id or ""), {})
        if _is_elsewhere(role.get("location"), row.clinic_id):
            yield noted("doctor_id", "is of another clinic")


def _is_elsewhere(locations: Any, clinic_id: str) -> bool:
    named = {reading.reference_id(location, "Location") for location in locations or ()} - {None}
    return bool(named) and clinic_id not in named


# --- Rows that say the same ----------------------------------------------------------------------------------------


def rivalry(table: str, row: Any, rivals: Collection[Resource], begins: datetime | None) -> list[Finding]:
    """Return what is wrong with a row whose place others of its table may have; those are here, and not deleted.

    `begins` is when an appointment begins.
    """
    match table:
        case "appointments" if any(_is_at(booked, row.doctor_id, begins) for booked in rivals):
            return [Finding("appointment_time", "is taken: another appointment of the doctor begins then")]
        case "payments" if rivals:
            return [Finding("lab_test_id" if row.lab_test_id else "appointment_id", "is paid for by another row")]
        case "visit_tracking" if rivals:
            return [noted("appointment_id", "has another visit already")]
    return []


def _is_at(booked: Resource, doctor_id: str | None, begins: datetime | None) -> bool:
    if booked.get("status") == "cancelled" or appointments.actor_id(booked, "Practitioner") != doctor_id:
        return False
    return begins is not None and reading.moment(booked.get("start")) == begins
