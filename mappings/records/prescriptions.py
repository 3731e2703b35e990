"""Table `prescriptions`: a MedicationRequest. https://hl7.org/fhir/R4/medicationrequest.html"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

from mappings.records import dosage
from mappings.shared import elements, reading
from mappings.shared.elements import Element, Resource
from mappings.shared.rows import Code, Id, Row, Text


class Prescription(Row):
    """A row of `prescriptions`; `status` is the code of MedicationRequest.status."""

    treatment_plan_id: Id | None = None
    medicine_name: Text | None = None
    dosage: Text | None = None
    frequency: Text | None = None
    duration: Text | None = None
    status: Code = "active"


def to_fhir(row: Prescription, *, user_id: str) -> dict[str, Any]:
    """Return the MedicationRequest for the user: the row's words, and their structure where they have one."""
    span = dosage.duration(row.duration)
    return elements.build(
        "MedicationRequest",
        {
            "id": row.id,
            "meta": elements.meta("hms-prescription"),
            "extension": elements.row_extensions(row),
            "status": row.status,
            "intent": "order",
            "medicationCodeableConcept": elements.text_concept(row.medicine_name) or elements.ABSENT_CONCEPT,
            "subject": elements.reference("Patient", user_id),
            "authoredOn": elements.optional_instant(row.created_at),
            "basedOn": elements.references("CarePlan", [row.treatment_plan_id]),
            "dosageInstruction": [_instruction(row, span)],
            "dispenseRequest": {"expectedSupplyDuration": span},
        },
    )


def _instruction(row: Prescription, span: Element | None) -> Element:
    repeat = {"boundsDuration": span, **(dosage.frequency(row.frequency) or {})}
    return {
        "extension": [
            elements.extension("dose-text", "String", row.dosage),
            elements.extension("duration-text", "String", row.duration),
        ],
        "text": ", ".join(part for part in (row.dosage, row.frequency, row.duration) if part) or None,
        "timing": {"repeat": repeat, "code": elements.text_concept(row.frequency)},
        "doseAndRate": [{"doseQuantity": dosage.dose(row.dosage)}],
    }


def from_fhir(
    request: Resource,
    *,
    treatment_plan_id: str | None = None,
    created: datetime | None = None,
    deleted: datetime | None = None,
) -> Prescription:
    """Return the row that a MedicationRequest is; `treatment_plan_id` is of a CarePlan known to contain it."""
    plan_id = reading.referenced(request.get("basedOn"), "CarePlan")
    plan_id = plan_id or reading.referenced(request.get("supportingInformation"), "CarePlan")
    return Prescription.read(
        request,
        treatment_plan_id=plan_id or treatment_plan_id,
        medicine_name=_medicine(request),
        status=request.get("status", "unknown"),
        **_words(request),
        **reading.row_times(request, created, deleted),
    )


def _medicine(request: Resource) -> str | None:
    referenced = request.get("medicationReference", {})
    contained = reading.first(
        request.get("contained"), lambda item: f"#{item.get('id')}" == referenced.get("reference")
    )
    name = reading.concept_text(request.get("medicationCodeableConcept") or contained.get("code"))
    return name or referenced.get("display")


def _words(request: Resource) -> dict[str, str | None]:
    instruction = reading.first(request.get("dosageInstruction"))
    timing = instruction.get("timing", {})
    repeat = timing.get("repeat", {})
    quantity = reading.first(instruction.get("doseAndRate"), lambda item: "doseQuantity" in item).get("doseQuantity")
    cycle = {name: repeat[name] for name in ("frequency", "period", "periodUnit") if name in repeat}
    return {
        "dosage": _stated(reading.extension(instruction, "dose-text"), quantity, dosage.dose, dosage.dose_text)
        or _free_text(instruction),
        "frequency": _stated(timing.get("code", {}).get("text"), cycle, dosage.frequency, dosage.frequency_text)
        or reading.concept_text(timing.get("code")),
        "duration": _stated(
            reading.extension(instruction, "duration-text"), _span(request), dosage.duration, dosage.duration_text
        ),
    }


def _free_text(instruction: Resource) -> str | None:
    # Where nothing else is said; a text beside the hospital's own words only repeats them.
    if instruction.get("timing") or reading.extension(instruction, "duration-text"):
        return None
    text: str | None = instruction.get("text")
    return text


def _stated(
    text: str | None,
    structure: Resource | None,
    parse: Callable[[str | None], Element | None],
    words: Callable[[Resource], str | None],
) -> str | None:
    # The words count as long as the structure beside them says the same; who changed only the structure meant it.
    if text is not None and parse(text) == (structure or None):
        return text
    return words(structure) if structure else text


def _span(request: Resource) -> Resource | None:
    repeat = reading.first(request.get("dosageInstruction")).get("timing", {}).get("repeat", {})
    if "boundsPeriod" in repeat:
        start, end = reading.days_of(repeat["boundsPeriod"])
        return elements.days((end - start).days) if start and end else None
    span: Resource | None = repeat.get("boundsDuration")
    return span or request.get("dispenseRequest", {}).get("expectedSupplyDuration")


def _days_after(day: date, count: int) -> date:
    return date.max if count > (date.max - day).days else day + timedelta(days=count)


def taken_between(request: Resource) -> tuple[date | None, date | None]:
    """Return the first and the last day of taking the medicine, as far as the MedicationRequest says.

    Of several instructions the last one to end counts, and one that has no end has none.
    """
    spans = [_taken(request, instruction) for instruction in request.get("dosageInstruction") or [{}]]
    starts = [start for start, _ in spans if start]
    ends = [end for _, end in spans if end]
    return min(starts, default=None), max(ends) if len(ends) == len(spans) else None


def _taken(request: Resource, instruction: Resource) -> tuple[date | None, date | None]:
    timing, dispense = instruction.get("timing", {}), request.get("dispenseRequest", {})
    repeat = timing.get("repeat", {})
    if timing.get("event"):
        days = [day for each in timing["event"] if (day := reading.whole_date(each))]
        return min(days, default=None), max(days, default=None)
    bounds = repeat.get("boundsPeriod") or dispense.get("validityPeriod") or {}
    start = reading.whole_date(bounds.get("start")) or reading.whole_date(request.get("authoredOn"))
    end = reading.last_date(bounds.get("end"))
    length = repeat.get("boundsDuration") or repeat.get("boundsRange", {}).get("high")
    count = dosage.duration_days(length or dispense.get("expectedSupplyDuration") or {})
    if end is None and start is not None and count is not None:
        end = _days_after(start, max(count, 1) - 1)
    return start, end
