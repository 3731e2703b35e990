"""Whom and what the app's rows name: resources of this server alone, by whatever literal reference."""

from __future__ import annotations

from typing import Any

import pytest

from tests.facade_server import ORIGIN, Hospital

OTHER = "http://other.example/fhir"
CODE = {"text": "Something"}


def record(patient: str, base: str, version: str = "") -> list[dict[str, Any]]:
    """Return an order with its report, a prescription and a visit, which all hang on references at the base."""
    own = {"subject": {"reference": f"{ORIGIN}/fhir/Patient/{patient}"}}

    def to(name: str) -> dict[str, str]:
        return {"reference": f"{base}{name}{version}"}

    return [
        {"resourceType": "CarePlan", "id": "plan", "status": "active", "intent": "plan", "title": "Rest", **own},
        {"resourceType": "Observation", "id": "seen", "status": "final", "code": CODE, "valueString": "9", **own},
        {"resourceType": "ServiceRequest", "id": "order", "status": "active", "intent": "order", "code": CODE,
         "basedOn": [to("CarePlan/plan")], **own},
        {"resourceType": "DiagnosticReport", "id": "report", "status": "final", "code": CODE,
         "basedOn": [to("ServiceRequest/order")], "result": [to("Observation/seen")], **own},
        {"resourceType": "MedicationRequest", "id": "pills", "status": "active", "intent": "order",
         "medicationCodeableConcept": CODE, "basedOn": [to("CarePlan/plan")], **own},
        {"resourceType": "DocumentReference", "id": "letter", "status": "current", **own,
         "content": [{"attachment": {"contentType": "text/plain", "data": "eA==", "title": "Letter"}}]},
    ]  # fmt: skip


@pytest.mark.parametrize("base", [f"{ORIGIN}/fhir/", ""])
@pytest.mark.parametrize("version", ["", "/_history/1"])
async def test_an_absolute_reference_to_this_server_is_a_relative_one(
    hospital: Hospital, base: str, version: str
) -> None:
    """Results, prescriptions and documents are joined over references below the base of this server."""
    mara = await hospital.sign_up("mara")
    await hospital.put(*record(mara.id, base, version))
    results = {row["id"]: row for row in (await mara.ask("GET", "/lab-tests/results"))["items"]}
    assert results["order"]["treatment_plan_id"] == "plan"
    assert (results["order"]["status"], results["order"]["report_id"]) == ("completed", "report")
    assert len(results["order"]["observations"]) == 1
    (pills,) = (await mara.ask("GET", "/medicine/prescription"))["items"]
    assert pills["treatment_plan_id"] == "plan"
    assert (await mara.send("GET", "/history/documents/download?document_id=letter")).content == b"x"


async def test_the_same_id_on_another_server_is_something_else(hospital: Hospital) -> None:
    """What another server's plan, order or observation of the same id is, the rows say nothing of."""
    mara = await hospital.sign_up("mara")
    await hospital.put(*record(mara.id, f"{OTHER}/"))
    results = {row["id"]: row for row in (await mara.ask("GET", "/lab-tests/results"))["items"]}
    assert results["order"]["treatment_plan_id"] is None
    assert results["order"]["status"] == "pending"
    assert results["report"]["observations"] == []
    (pills,) = (await mara.ask("GET", "/medicine/prescription"))["items"]
    assert pills["treatment_plan_id"] is None


async def test_a_patient_of_another_server_is_not_the_one_here(hospital: Hospital) -> None:
    """A document of another server's patient with the same id is not handed out, be it asked for by name."""
    mara = await hospital.sign_up("mara")
    *_, letter = record(mara.id, "")
    await hospital.put({**letter, "subject": {"reference": f"{OTHER}/Patient/{mara.id}"}})
    await mara.refused("not_found", "GET", "/history/documents/download?document_id=letter")
