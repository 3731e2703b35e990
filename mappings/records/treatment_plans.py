"""Table `treatment_plans`: a CarePlan. https://hl7.org/fhir/R4/careplan.html"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from mappings.shared import elements, reading
from mappings.shared.elements import Resource
from mappings.shared.rows import Id, Row, Text


class TreatmentPlan(Row):
    """A row of `treatment_plans`."""

    appointment_id: Id | None = None
    description: Text | None = None


def to_fhir(row: TreatmentPlan, *, user_id: str) -> dict[str, Any]:
    """Return the CarePlan of the user."""
    return elements.build(
        "CarePlan",
        {
            "id": row.id,
            "meta": elements.meta("hms-treatment-plan"),
            "extension": elements.row_extensions(row),
            "status": "active",
            "intent": "plan",
            "description": row.description,
            "subject": elements.reference("Patient", user_id),
            "created": elements.optional_instant(row.created_at),
            "supportingInfo": elements.references("Appointment", [row.appointment_id]),
        },
    )


def from_fhir(
    plan: Resource,
    encounter: Resource | None = None,
    *,
    created: datetime | None = None,
    deleted: datetime | None = None,
) -> TreatmentPlan:
    """Return the row that a CarePlan is; its appointment is the one it names, else that of its Encounter."""
    appointment_id = reading.referenced(plan.get("supportingInfo"), "Appointment")
    return TreatmentPlan.read(
        plan,
        appointment_id=appointment_id or reading.referenced((encounter or {}).get("appointment"), "Appointment"),
        description=plan.get("description") or plan.get("title"),
        **reading.row_times(plan, created, deleted),
    )
