"""Table `lab_tests`: a ServiceRequest, its DiagnosticReport and Observations. https://hl7.org/fhir/R4/diagnosticreport.html"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from mappings.shared import elements, reading
from mappings.shared.elements import Resource
from mappings.shared.rows import Id, Row, Text

Status = Literal["pending", "completed"]

FINISHED = frozenset({"final", "amended", "corrected", "appended"})
"""Statuses of a DiagnosticReport that a patient is shown as a result."""
MISTAKEN = frozenset({"entered-in-error", "cancelled"})
"""Statuses of a DiagnosticReport or Observation that is none."""


class LabTest(Row):
    """A row of `lab_tests`."""

    treatment_plan_id: Id | None = None
    test_name: Text | None = None
    result: Text | None = None
    status: Status = "pending"


class Measurement(BaseModel):
    """What an Observation found, in words that a patient reads."""

    model_config = ConfigDict(frozen=True)

    name: str | None
    value: str | None
    unit: str | None = None
    reference_range: str | None = None
    flag: str | None = None


class LabTestResources(NamedTuple):
    """The order, and the report once there is anything to report."""

    order: dict[str, Any]
    report: dict[str, Any] | None


def to_fhir(row: LabTest, *, user_id: str, issued: datetime | None = None) -> LabTestResources:
    """Return the ServiceRequest for the user, and the DiagnosticReport if there is a result."""
    order = elements.build(
        "ServiceRequest",
        {
            "id": row.id,
            "meta": elements.meta("hms-lab-test"),
            "extension": elements.row_extensions(row),
            "basedOn": elements.references("CarePlan", [row.treatment_plan_id]),
            "status": "completed" if row.status == "completed" else "active",
            "intent": "order",
            "category": [elements.concept("http://snomed.info/sct", "108252007", "Laboratory procedure")],
            "code": elements.text_concept(row.test_name),
            "subject": elements.reference("Patient", user_id),
            "authoredOn": elements.optional_instant(row.created_at),
        },
    )
    return LabTestResources(order, _report(row, user_id, issued) if row.result else None)


def _report(row: LabTest, user_id: str, issued: datetime | None) -> dict[str, Any]:
    return elements.build(
        "DiagnosticReport",
        {
            "id": row.id,
            "meta": elements.meta("hms-lab-report"),
            "basedOn": [elements.reference("ServiceRequest", row.id)],
            "status": "final" if row.status == "completed" else "preliminary",
            "category": [elements.concept("http://terminology.hl7.org/CodeSystem/v2-0074", "LAB", "Laboratory")],
            "code": elements.text_concept(row.test_name) or elements.ABSENT_CONCEPT,
            "subject": elements.reference("Patient", user_id),
            "issued": elements.optional_instant(issued),
            "conclusion": row.result,
        },
    )


def from_fhir(
    order: Resource,
    report: Resource | None = None,
    observations: Iterable[Resource] = (),
    *,
    treatment_plan_id: str | None = None,
    created: datetime | None = None,
    deleted: datetime | None = None,
) -> LabTest:
    """Return the row that a ServiceRequest is; the result is the report's conclusion, else what was observed."""
    plan_id = reading.referenced(order.get("basedOn"), "CarePlan")
    plan_id = plan_id or reading.referenced(order.get("supportingInfo"), "CarePlan")
    finding = report or {}
    finished = order.get("status") == "completed" or finding.get("status") in FINISHED
    return LabTest.read(
        order,
        treatment_plan_id=plan_id or treatment_plan_id,
        test_name=reading.concept_text(order.get("code")),
        result=finding.get("conclusion") or summary(measurements(observations)),
        status="completed" if finished else "pending",
        **reading.row_times(order, created, deleted),
    )


def measurements(observations: Iterable[Resource]) -> list[Measurement]:
    """Return what the Observations found, one of several components each on its own."""
    return [
        _measurement(part, observation)
        for observation in observations
        for part in (observation.get("component") or [observation])
    ]


def summary(items: Sequence[Measurement]) -> str | None:
    """Return measurements as one line of text."""
    texts = (" ".join(part for part in (item.name, item.value, item.unit) if part) for item in items if item.value)
    return "; ".join(texts) or None


def _measurement(part: Resource, observation: Resource) -> Measurement:
    quantity = part.get("valueQuantity", {})
    flags = part.get("interpretation") or observation.get("interpretation")
    return Measurement(
        name=reading.concept_text(part.get("code")),
        value=_value(part),
        unit=quantity.get("unit") or quantity.get("code"),
        reference_range=_range(reading.first(part.get("referenceRange") or observation.get("referenceRange"))),
        flag=_flag(reading.first(flags)),
    )


def _value(part: Resource) -> str | None:
    if quantity := part.get("valueQuantity"):
        return f"{quantity.get('comparator', '')}{_plain(quantity.get('value'))}" or None
    if concept := part.get("valueCodeableConcept"):
        return reading.concept_text(concept)
    if part.get("valueRange"):
        return _range(part["valueRange"])
    for kind in ("String", "Boolean", "Integer", "DateTime", "Time"):
        value = part.get(f"value{kind}")
        if value is not None:
            return str(value).lower() if isinstance(value, bool) else str(value)
    return reading.concept_text(part.get("dataAbsentReason"))


def _range(limits: Resource) -> str | None:
    low, high = (_plain(limits.get(side, {}).get("value")) for side in ("low", "high"))
    if low and high:
        return f"{low}-{high}"
    text: str | None = limits.get("text") or (f">={low}" if low else f"<={high}" if high else None)
    return text


def _flag(interpretation: Resource) -> str | None:
    coding = reading.first(interpretation.get("coding"), lambda item: "code" in item)
    return coding.get("code") or interpretation.get("text")


def _plain(value: Any) -> str:
    return "" if value is None else f"{value:f}" if isinstance(value, Decimal) else str(value)
