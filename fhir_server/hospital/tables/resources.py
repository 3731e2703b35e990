"""A row as its resources, and resources as their row: what each table's mapping needs of others besides.

A payment names an appointment, but its Invoice names the patient too; an appointment's time is that of its clinic's
clock. So each table says whom its rows refer to, and is given those resources.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypedDict, cast
from zoneinfo import ZoneInfo

from fhir_server.hospital.tables.checks import references
from fhir_server.hospital.tables.checks.references import Key, Resources
from fhir_server.hospital.tables.tables import Table
from mappings.accounts import user_family, users
from mappings.billing import payments
from mappings.booking import appointments
from mappings.catalogue import clinics, doctors, specialties
from mappings.insurance import insurance
from mappings.notifications import notifications
from mappings.records import lab_tests, medical_documents, prescriptions, treatment_plans
from mappings.shared import clinic_clock, reading
from mappings.shared.elements import Resource
from mappings.shared.rows import Row
from mappings.visits import visit_tracking


@dataclass(frozen=True, slots=True)
class MappingContext:
    """What a row stands among: resources that it refers to, and the clock of clinics that name none."""

    resources: Resources
    clock: ZoneInfo
    files: Mapping[str, bytes] = field(default_factory=dict)
    """The files of documents, by the documents' ids."""

    def clock_of(self, clinic_id: str | None) -> ZoneInfo:
        """Return the clock of a clinic."""
        location = self.resources.get(("Location", clinic_id or ""))
        return clinic_clock.clock_of(location, self.clock.key)

    def patient_of(self, *keys: Key) -> str:
        """Return the id of the patient whom the first of these that is known is about; raises ValueError."""
        for kind, resource_id in keys:
            resource = self.resources.get((kind, resource_id))
            if resource is not None:
                patient = references.patient_of(resource)
                if patient is not None:
                    return patient
        named = " or ".join(f"{kind}/{resource_id}" for kind, resource_id in keys) or "nothing"
        raise ValueError(f"refers to {named}, which names no user here")


# --- From rows ---------------------------------------------------------------------------------------------------


def to_resources(table: Table, row: Row, around: MappingContext) -> list[dict[str, Any]]:
    """Return the resources that the row is, the one with the row's times first.

    Raises ValueError where FHIR cannot say it, or where the row would not come back from them as it is.
    """
    made = [resource for resource in _MAKERS[table.name](row, around) if resource is not None]
    back = from_resources(table, made, around)
    if isinstance(row, users.User):
        back = back.model_copy(update={"password_hash": row.password_hash})
    if back != row:
        lost = [name for name in type(row).model_fields if getattr(back, name) != getattr(row, name)]
        raise ValueError(f"would lose what it says in {', '.join(lost)}")
    return made


def _made_at(row: Row) -> datetime:
    return row.created_at or row.updated_at or datetime.now(UTC)


def _appointment(row: appointments.Appointment, around: MappingContext) -> list[Any]:
    return [appointments.to_fhir(row, around.clock_of(row.clinic_id))]


def _payment(row: payments.Payment, around: MappingContext) -> list[Any]:
    user_id = around.patient_of(*references.referred("payments", row))
    return [*payments.to_fhir(row, user_id=user_id, at=_made_at(row))]


def _plan(row: treatment_plans.TreatmentPlan, around: MappingContext) -> list[Any]:
    return [treatment_plans.to_fhir(row, user_id=around.patient_of(("Appointment", row.appointment_id or "")))]


def _prescription(row: prescriptions.Prescription, around: MappingContext) -> list[Any]:
    return [prescriptions.to_fhir(row, user_id=around.patient_of(("CarePlan", row.treatment_plan_id or "")))]


def _lab_test(row: lab_tests.LabTest, around: MappingContext) -> list[Any]:
    user_id = around.patient_of(("CarePlan", row.treatment_plan_id or ""))
    return [*lab_tests.to_fhir(row, user_id=user_id, issued=row.updated_at or row.created_at)]


def _visit(row: visit_tracking.Visit, around: MappingContext) -> list[Any]:
    key = ("Appointment", row.appointment_id or "")
    user_id, booked = around.patient_of(key), around.resources[key]
    doctor_id, clinic_id = (appointments.actor_id(booked, kind) for kind in ("Practitioner", "Location"))
    return [visit_tracking.to_fhir(row, user_id=user_id, doctor_id=doctor_id, clinic_id=clinic_id)]


def _document(row: medical_documents.MedicalDocument, around: MappingContext) -> list[Any]:
    return [*medical_documents.to_fhir(row, at=_made_at(row), data=around.files.get(row.id))]


Maker = Callable[[Any, MappingContext], Sequence[Any]]
_MAKERS: dict[str, Maker] = {
    "clinics": lambda row, _: [clinics.to_fhir(row)],
    "specialties": lambda row, _: [specialties.to_fhir(row)],
    "doctors": lambda row, _: [*doctors.to_fhir(row)],
    "users": lambda row, _: [users.to_fhir(row)[0]],
    "user_family": lambda row, _: [user_family.to_fhir(row)],
    "insurance": lambda row, _: [insurance.to_fhir(row)],
    "appointments": _appointment,
    "treatment_plans": _plan,
    "prescriptions": _prescription,
    "lab_tests": _lab_test,
    "payments": _payment,
    "medical_documents": _document,
    "notifications": lambda row, _: [notifications.to_fhir(row, at=_made_at(row))],
    "visit_tracking": _visit,
}


# --- To rows -----------------------------------------------------------------------------------------------------


def from_resources(
    table: Table,
    resources: Sequence[Resource],
    around: MappingContext,
    *,
    created: datetime | None = None,
    deleted: datetime | None = None,
) -> Row:
    """Return the row that resources are; raises ValueError where the table cannot say what they do."""
    main, companions = resources[0], resources[1:]
    row = _READERS[table.name](main, companions, around, Times(created=created, deleted=deleted))
    return row.model_copy(update=_never_known(main, row))


def _never_known(main: Resource, row: Row) -> dict[str, None]:
    # An import wrote down the times that the row had; those it did not have are not those of its resource.
    made, changed = (reading.extension(main, f"row-{name}") for name in ("created", "updated"))
    as_imported = main.get("meta", {}).get("versionId", "1") == (reading.extension(main, "row-version") or "1")
    if made is not None and changed is None and as_imported:
        return {"updated_at": None}
    return {"created_at": None} if made is None and changed is not None else {}


class Times(TypedDict):
    """When the main resource came to be, and when it was deleted."""

    created: datetime | None
    deleted: datetime | None


Reader = Callable[[Resource, Sequence[Resource], MappingContext, Times], Row]


def _of(companions: Iterable[Resource], resource_type: str) -> list[Resource]:
    return [resource for resource in companions if resource["resourceType"] == resource_type]


def _first(companions: Iterable[Resource], resource_type: str) -> Resource | None:
    return next(iter(_of(companions, resource_type)), None)


def _id(resource: Resource | None) -> str | None:
    return None if resource is None else str(resource["id"])


def _read_doctor(main: Resource, companions: Sequence[Resource], _: MappingContext, times: Times) -> Row:
    return doctors.from_fhir(main, _first(companions, "PractitionerRole") or {}, **times)


def _read_appointment(main: Resource, _: Sequence[Resource], around: MappingContext, times: Times) -> Row:
    return appointments.from_fhir(main, around.clock_of(appointments.actor_id(main, "Location")), **times)


def _read_payment(main: Resource, companions: Sequence[Resource], _: MappingContext, times: Times) -> Row:
    return payments.from_fhir(main, _first(companions, "PaymentReconciliation"), **times)


def _read_plan(main: Resource, companions: Sequence[Resource], _: MappingContext, times: Times) -> Row:
    return treatment_plans.from_fhir(main, _first(companions, "Encounter"), **times)


def _read_prescription(main: Resource, companions: Sequence[Resource], _: MappingContext, times: Times) -> Row:
    plan = _first(companions, "CarePlan")
    return prescriptions.from_fhir(main, treatment_plan_id=_id(plan), **times)


def _read_lab_test(main: Resource, companions: Sequence[Resource], _: MappingContext, times: Times) -> Row:
    plan, report = (_first(companions, kind) for kind in ("CarePlan", "DiagnosticReport"))
    observations = _of(companions, "Observation")
    return lab_tests.from_fhir(main, report, observations, treatment_plan_id=_id(plan), **times)


def _alone(read: Callable[..., Row]) -> Reader:
    return cast(Reader, lambda main, companions, around, times: read(main, **times))


_READERS: dict[str, Reader] = {
    "clinics": _alone(clinics.from_fhir),
    "specialties": _alone(specialties.from_fhir),
    "doctors": _read_doctor,
    "users": _alone(users.from_fhir),
    "user_family": _alone(user_family.from_fhir),
    "insurance": _alone(insurance.from_fhir),
    "appointments": _read_appointment,
    "treatment_plans": _read_plan,
    "prescriptions": _read_prescription,
    "lab_tests": _read_lab_test,
    "payments": _read_payment,
    "medical_documents": _alone(medical_documents.from_fhir),
    "notifications": _alone(notifications.from_fhir),
    "visit_tracking": _alone(visit_tracking.from_fhir),
}
