"""Table `doctors`: a Practitioner, and a PractitionerRole for each clinic. https://hl7.org/fhir/R4/practitionerrole.html"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from fhir_server.r4.human_names import human_name, official_name
from mappings.shared import elements, reading
from mappings.shared.elements import Resource
from mappings.shared.rows import Id, Row, Text, Url


class Doctor(Row):
    """A row of `doctors`; one who works at two clinics is two rows with the same id."""

    name: Text | None = None
    specialty_id: Id | None = None
    clinic_id: Id | None = None
    email: Text | None = None
    phone: Text | None = None
    experience_years: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    photo: Url | None = None


class DoctorResources(NamedTuple):
    """The person, and what the person does at a clinic."""

    practitioner: dict[str, Any]
    role: dict[str, Any]


def to_fhir(row: Doctor, *, role_id: str | None = None) -> DoctorResources:
    """Return the Practitioner and the PractitionerRole; the role has the doctor's id unless given one of its own."""
    practitioner = elements.build(
        "Practitioner",
        {
            "id": row.id,
            "meta": elements.meta("hms-doctor"),
            "extension": [
                elements.extension("experience-years", "Integer", row.experience_years),
                *elements.row_extensions(row),
            ],
            "active": True,
            "name": [{"text": row.name}],
            "telecom": elements.telecom(row.phone, row.email, "work"),
            "photo": [{"url": row.photo}],
        },
    )
    role = elements.build(
        "PractitionerRole",
        {
            "id": role_id or row.id,
            "meta": elements.meta("hms-doctor-role"),
            "active": True,
            "practitioner": elements.reference("Practitioner", row.id, row.name),
            "location": elements.references("Location", [row.clinic_id]),
            "healthcareService": elements.references("HealthcareService", [row.specialty_id]),
        },
    )
    return DoctorResources(practitioner, role)


def from_fhir(
    practitioner: Resource,
    role: Resource,
    *,
    clinic_id: str | None = None,
    specialty_id: str | None = None,
    created: datetime | None = None,
    deleted: datetime | None = None,
) -> Doctor:
    """Return the row that a Practitioner is in a role; at the clinic that was asked for, if the role has several."""
    return Doctor.read(
        practitioner,
        name=human_name(official_name(practitioner)),
        specialty_id=specialty_id or reading.referenced(role.get("healthcareService"), "HealthcareService"),
        clinic_id=clinic_id or reading.referenced(role.get("location"), "Location"),
        email=reading.contact(practitioner, "email"),
        phone=reading.contact(practitioner, "phone"),
        experience_years=reading.extension(practitioner, "experience-years"),
        photo=reading.first(practitioner.get("photo"), lambda photo: "url" in photo).get("url"),
        **reading.row_times(practitioner, created, deleted),
    )
