"""Table `specialties`: a HealthcareService of a clinic. https://hl7.org/fhir/R4/healthcareservice.html"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from mappings.shared import elements, reading
from mappings.shared.elements import Resource
from mappings.shared.money import Money
from mappings.shared.rows import Id, Row, Text


class Specialty(Row):
    """A row of `specialties`, with the fee of a visit where there is one."""

    clinic_id: Id | None = None
    name: Text | None = None
    fee: Money | None = None


def to_fhir(row: Specialty) -> dict[str, Any]:
    """Return the HealthcareService."""
    fee = elements.money(row.fee.amount, row.fee.currency) if row.fee else None
    return elements.build(
        "HealthcareService",
        {
            "id": row.id,
            "meta": elements.meta("hms-specialty"),
            "extension": [elements.extension("fee", "Money", fee), *elements.row_extensions(row)],
            "active": True,
            "specialty": [elements.text_concept(row.name)],
            "location": [elements.reference("Location", row.clinic_id)],
            "name": row.name,
        },
    )


def from_fhir(
    service: Resource, *, clinic_id: str | None = None, created: datetime | None = None, deleted: datetime | None = None
) -> Specialty:
    """Return the row that a HealthcareService is; at the clinic that was asked for, if it is one of several."""
    return Specialty.read(
        service,
        clinic_id=clinic_id or reading.referenced(service.get("location"), "Location"),
        name=service.get("name") or reading.concept_text(reading.first(service.get("specialty"))),
        fee=Money.from_fhir(reading.extension(service, "fee")),
        **reading.row_times(service, created, deleted),
    )
