"""Rows that others wrote with values that the tables cannot hold: found among what is stored.

Such a row is shown with null where it is odd, so nobody notices it in the app; `fhir-server status` tells of it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from fhir_server.engine.context import Context
from fhir_server.engine.search.every_match import every_match
from fhir_server.hospital.api.references import relative
from mappings.accounts import user_family, users
from mappings.billing import payments
from mappings.booking import appointments
from mappings.catalogue import clinics, doctors, specialties
from mappings.insurance import insurance
from mappings.notifications import notifications
from mappings.records import lab_tests, medical_documents, prescriptions, treatment_plans
from mappings.shared.elements import Resource
from mappings.shared.rows import Row
from mappings.visits import visit_tracking

READERS: Mapping[str, Callable[[Resource], Row]] = {
    "Location": clinics.from_fhir,
    "HealthcareService": specialties.from_fhir,
    "Practitioner": lambda practitioner: doctors.from_fhir(practitioner, {}),
    "Patient": users.from_fhir,
    "RelatedPerson": user_family.from_fhir,
    "Appointment": lambda appointment: appointments.from_fhir(appointment, ZoneInfo("UTC")),
    "Invoice": payments.from_fhir,
    "CarePlan": treatment_plans.from_fhir,
    "MedicationRequest": prescriptions.from_fhir,
    "ServiceRequest": lab_tests.from_fhir,
    "DocumentReference": medical_documents.from_fhir,
    "Communication": notifications.from_fhir,
    "Encounter": visit_tracking.from_fhir,
    "Coverage": insurance.from_fhir,
}
"""How a resource of each type is read as the row of its table."""
CATALOGUE = ("Location", "HealthcareService", "Practitioner")
"""The types whose rows everybody sees."""


@dataclass(frozen=True, slots=True)
class OddRow:
    """A resource, and the columns and extensions of it that hold what the table cannot say."""

    reference: str
    odd: tuple[str, ...]


async def odd_rows(context: Context, types: Iterable[str]) -> AsyncIterator[OddRow]:
    """Yield the odd ones among all resources of the types."""
    for resource_type in types:
        async for resource in every_match(context, resource_type, []):
            row = READERS[resource_type](relative(resource, context.base_url))
            if row.odd:
                yield OddRow(f"{resource_type}/{row.id}", row.odd)
