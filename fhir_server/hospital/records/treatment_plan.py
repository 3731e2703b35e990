"""Endpoint 29: the treatment plan of an appointment."""

from __future__ import annotations

from fastapi import APIRouter

from fhir_server.hospital.api.answers import Answer
from fhir_server.hospital.api.caller import Called
from fhir_server.hospital.api.description.openapi import errors
from fhir_server.hospital.api.own import require_own
from fhir_server.hospital.api.problem import Problem
from fhir_server.hospital.records.lab_tests import LabTestAnswer, lab_test_answers, results_of
from fhir_server.hospital.records.medicine import PrescriptionAnswer, prescription_answers, requests_of
from fhir_server.hospital.records.records import Record
from mappings.records import treatment_plans

router = APIRouter(prefix="/treatment-plan", tags=["treatment-plan"])


class TreatmentPlanAnswer(Answer):
    """A treatment plan with what it prescribes and what it has tested."""

    appointment_id: str | None
    description: str | None
    prescriptions: list[PrescriptionAnswer]
    lab_tests: list[LabTestAnswer]


@router.get("/{appointment_id}", responses=errors("invalid_token", "not_found"))
async def treatment_plan(appointment_id: str, caller: Called) -> TreatmentPlanAnswer:
    """Return the plan of an appointment, the latest if there are several."""
    await require_own(caller, "Appointment", appointment_id)
    record = await Record.of(caller)
    plans = record.plans_for(appointment_id)
    if not plans:
        raise Problem("not_found")
    plan = plans[0]
    requests = [item for item in await requests_of(caller) if record.belongs_to(item, plan, appointment_id)]
    results = [item for item in await results_of(caller) if record.belongs_to(item.order, plan, appointment_id)]
    row = treatment_plans.from_fhir(plan, record.encounter_of(plan), created=await caller.fhir.created_at(plan))
    return TreatmentPlanAnswer.of(
        row,
        prescriptions=await prescription_answers(caller, record, requests),
        lab_tests=await lab_test_answers(caller, record, results),
    )
