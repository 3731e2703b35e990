"""Endpoints 29 to 36: what the EHR vendor and the lab write over FHIR, as the app shows it."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.facade.clinic import booking_of, open_clinics, policy_of
from tests.facade_server import AppUser, Hospital

PDF = b"%PDF-1.4 " + bytes(range(256)) * 4


async def with_record(hospital: Hospital) -> tuple[AppUser, str]:
    """Return a user whose appointment has a plan, a prescription, a test with results, one without, and a document."""
    await open_clinics(hospital)
    mara = await hospital.sign_up("mara")
    booked = await mara.ask("POST", "/booking/appointments", booking_of(), status=201)
    await hospital.put(*record_of(mara.id, booked["id"]))
    return mara, str(booked["id"])


def record_of(user_id: str, appointment_id: str) -> list[dict[str, Any]]:
    subject = {"reference": f"Patient/{user_id}"}
    order = {"status": "active", "intent": "order", "subject": subject}
    return [
        {
            "resourceType": "CarePlan",
            "id": "plan",
            "status": "active",
            "intent": "plan",
            "subject": subject,
            "description": "Less salt",
            "supportingInfo": [{"reference": f"Appointment/{appointment_id}"}],
            "activity": [{"reference": {"reference": "ServiceRequest/lipids"}}],
        },
        {
            "resourceType": "MedicationRequest",
            "id": "pills",
            **order,
            "authoredOn": "2026-01-01",
            "medicationCodeableConcept": {"text": "Lisinopril"},
            "basedOn": [{"reference": "CarePlan/plan"}],
            "dosageInstruction": [
                {
                    "text": "One a day",
                    "timing": {"repeat": {"frequency": 2, "period": 1, "periodUnit": "d", "boundsDuration": _days(7)}},
                    "doseAndRate": [{"doseQuantity": {"value": 10, "unit": "mg"}}],
                }
            ],
        },
        {
            "resourceType": "ServiceRequest",
            "id": "lipids",
            **order,
            "authoredOn": "2026-01-02",
            "code": {"text": "Lipids"},
        },
        {
            "resourceType": "ServiceRequest",
            "id": "glucose",
            **order,
            "authoredOn": "2026-01-01",
            "code": {"text": "Glucose"},
            "basedOn": [{"reference": "CarePlan/plan"}],
        },
        {
            "resourceType": "Observation",
            "id": "ldl",
            "status": "final",
            "code": {"text": "LDL"},
            "subject": subject,
            "valueQuantity": {"value": 131.5, "unit": "mg/dL"},
            "referenceRange": [{"high": {"value": 130}}],
            "interpretation": [{"coding": [{"code": "H"}]}],
        },
        {
            "resourceType": "DiagnosticReport",
            "id": "report",
            "status": "final",
            "code": {"text": "Lipids"},
            "subject": subject,
            "basedOn": [{"reference": "ServiceRequest/lipids"}],
            "issued": "2026-01-03T10:00:00Z",
            "conclusion": "Slightly high",
            "result": [{"reference": "Observation/ldl"}],
        },
        {
            "resourceType": "Binary",
            "id": "pdf",
            "contentType": "application/pdf",
            "data": base64.b64encode(PDF).decode(),
        },
        {
            "resourceType": "DocumentReference",
            "id": "document",
            "status": "current",
            "type": {"coding": [{"system": "http://loinc.org", "code": "11502-2"}]},
            "subject": subject,
            "date": "2026-01-03T10:00:00Z",
            "description": "Lípids: result/1",
            "content": [{"attachment": {"contentType": "application/pdf", "url": "Binary/pdf", "size": len(PDF)}}],
            "context": {"related": [{"reference": f"Appointment/{appointment_id}"}]},
        },
    ]


def _days(count: int) -> dict[str, Any]:
    return {"value": count, "unit": "days", "system": "http://unitsofmeasure.org", "code": "d"}


async def test_the_treatment_plan(hospital: Hospital) -> None:
    """A plan is shown with its prescriptions and tests, whichever of both names the other."""
    mara, appointment_id = await with_record(hospital)
    plan = await mara.ask("GET", f"/treatment-plan/{appointment_id}")
    assert (plan["id"], plan["appointment_id"], plan["description"]) == ("plan", appointment_id, "Less salt")
    assert [item["medicine_name"] for item in plan["prescriptions"]] == ["Lisinopril"]
    assert [item["test_name"] for item in plan["lab_tests"]] == ["Lipids", "Glucose"]


async def test_a_plan_by_way_of_the_encounter(hospital: Hospital) -> None:
    """A plan that names only the Encounter belongs to the Encounter's appointment."""
    mara, appointment_id = await with_record(hospital)
    encounter = {
        "resourceType": "Encounter",
        "id": "visit",
        "status": "finished",
        "class": {"code": "AMB"},
        "subject": {"reference": f"Patient/{mara.id}"},
        "appointment": [{"reference": f"Appointment/{appointment_id}"}],
    }
    plan = await hospital.fhir("GET", "CarePlan/plan")
    del plan["supportingInfo"]
    await hospital.put(encounter, plan | {"encounter": {"reference": "Encounter/visit"}})
    assert (await mara.ask("GET", f"/treatment-plan/{appointment_id}"))["id"] == "plan"


async def test_plans_that_are_not_there(hospital: Hospital) -> None:
    """An appointment without a plan, another's and an unknown one have none."""
    mara, appointment_id = await with_record(hospital)
    noor = await hospital.sign_up("noor")
    await noor.refused("not_found", "GET", f"/treatment-plan/{appointment_id}")
    other = await mara.ask("POST", "/booking/appointments", booking_of("10:00"), status=201)
    await mara.refused("not_found", "GET", f"/treatment-plan/{other['id']}")
    await mara.refused("not_found", "GET", "/treatment-plan/none")
    await hospital.visitor().refused("invalid_token", "GET", f"/treatment-plan/{appointment_id}")


async def test_results(hospital: Hospital) -> None:
    """A test with a report is completed, with the conclusion and what was measured; one without is pending."""
    mara, _ = await with_record(hospital)
    answer = await mara.ask("GET", "/lab-tests/results")
    lipids, glucose = answer["items"]
    assert (lipids["id"], lipids["treatment_plan_id"], lipids["status"]) == ("lipids", "plan", "completed")
    assert (lipids["result"], lipids["report_id"]) == ("Slightly high", "report")
    assert lipids["issued_at"].startswith("2026-01-03T10:00:00")
    assert lipids["observations"] == [
        {"name": "LDL", "value": "131.5", "unit": "mg/dL", "reference_range": "<=130", "flag": "H"}
    ]
    assert (glucose["status"], glucose["result"], glucose["observations"]) == ("pending", None, [])


@pytest.mark.parametrize(
    ("query", "result"),
    [
        ("status=completed", ["lipids"]),
        ("status=pending", ["glucose"]),
        ("from=2026-01-02", ["lipids"]),
        ("to=2026-01-01", ["glucose"]),
    ],
)
async def test_finding_results(hospital: Hospital, query: str, result: list[str]) -> None:
    """Results are found by status, day and appointment."""
    mara, _ = await with_record(hospital)
    assert [item["id"] for item in (await mara.ask("GET", f"/lab-tests/results?{query}"))["items"]] == result


async def test_prescriptions(hospital: Hospital) -> None:
    """A structured prescription is told in words, with its first and last day; one that is over is not active."""
    mara, appointment_id = await with_record(hospital)
    (item,) = (await mara.ask("GET", f"/medicine/prescription?appointment_id={appointment_id}"))["items"]
    expected = {
        "id": "pills",
        "treatment_plan_id": "plan",
        "medicine_name": "Lisinopril",
        "dosage": "10 mg",
        "frequency": "2x daily",
        "duration": "7 days",
        "start_date": "2026-01-01",
        "end_date": "2026-01-07",
        "status": "active",
    }
    assert {name: item[name] for name in expected} == expected
    assert (await mara.ask("GET", "/medicine/prescription?active_only=true"))["items"] == []
    request = await hospital.fhir("GET", "MedicationRequest/pills")
    await hospital.put(request | {"authoredOn": "2999-01-01"})
    assert len((await mara.ask("GET", "/medicine/prescription?active_only=true"))["items"]) == 1


@pytest.mark.parametrize(
    ("path", "field", "item"),
    [("/lab-tests", "lab_test_id", "lipids"), ("/medicine", "prescription_id", "pills")],
)
async def test_insurance_for_tests_and_medicines(hospital: Hospital, path: str, field: str, item: str) -> None:
    """The policy on file, or the one that is named, is verified for a test or a medicine of one's own."""
    mara, _ = await with_record(hospital)
    problem = await mara.refused("validation_failed", "POST", f"{path}/insurance/verify", {field: item})
    assert problem["errors"][0]["field"] == "policy_number"
    await hospital.put(policy_of(mara.id))
    answer = await mara.ask("POST", f"{path}/insurance/verify", {field: item})
    assert (answer["verified"], answer["coverage_id"]) == (True, f"policy-{mara.id}")
    named = {field: item, "provider": "Solace Mutual", "policy_number": "SOL-9"}
    assert (await mara.ask("POST", f"{path}/insurance/verify", named))["status"] == "unknown"
    noor = await hospital.sign_up("noor")
    problem = await noor.refused("validation_failed", "POST", f"{path}/insurance/verify", {field: item})
    assert problem["errors"][0]["field"] == field
    await hospital.visitor().refused("invalid_token", "POST", f"{path}/insurance/verify", {field: item})


async def test_paying_for_a_test(hospital: Hospital) -> None:
    """A lab test is paid for once, by its owner."""
    mara, _ = await with_record(hospital)
    paying = {
        "lab_test_id": "lipids",
        "amount": 30,
        "currency": "USD",
        "payment_method": "card",
        "card_token": "tok_visa",
    }
    noor = await hospital.sign_up("noor")
    await noor.refused("validation_failed", "POST", "/lab-tests/payment", paying)
    await mara.refused("payment_declined", "POST", "/lab-tests/payment", paying | {"card_token": "tok_chargeDeclined"})
    paid = await mara.ask("POST", "/lab-tests/payment", paying, status=201)
    assert (paid["lab_test_id"], paid["amount"], paid["status"]) == ("lipids", 30.0, "completed")
    await mara.refused("already_paid", "POST", "/lab-tests/payment", paying)
    await hospital.visitor().refused("invalid_token", "POST", "/lab-tests/payment", paying)


async def test_insurance_pays_for_a_test(hospital: Hospital) -> None:
    """After verification the insurance pays for a test."""
    mara, _ = await with_record(hospital)
    await hospital.put(policy_of(mara.id))
    paying = {"lab_test_id": "lipids", "amount": 20, "currency": "USD", "payment_method": "insurance"}
    await mara.refused("insurance_not_verified", "POST", "/lab-tests/payment", paying)
    await mara.ask("POST", "/lab-tests/insurance/verify", {"lab_test_id": "lipids"})
    assert (await mara.ask("POST", "/lab-tests/payment", paying, status=201))["status"] == "completed"


# --- Documents ---------------------------------------------------------------------------------------------------


async def test_documents(hospital: Hospital) -> None:
    """A document is listed with its type and size, and its address here."""
    mara, appointment_id = await with_record(hospital)
    (item,) = (await mara.ask("GET", "/history/documents"))["items"]
    expected = {
        "id": "document",
        "user_id": mara.id,
        "appointment_id": appointment_id,
        "document_type": "lab_report",
        "title": "Lípids: result/1",
        "content_type": "application/pdf",
        "size": len(PDF),
        "file_url": "/history/documents/download?document_id=document",
    }
    assert {name: item[name] for name in expected} == expected
    for query, count in (
        ("document_type=scan", 0),
        ("document_type=lab_report", 1),
        ("from=2026-01-04", 0),
        ("to=2026-01-03", 1),
    ):
        assert (await mara.ask("GET", f"/history/documents?{query}"))["total"] == count


async def test_downloading(hospital: Hospital) -> None:
    """The file comes with its type, name and ETag, whole, in parts, or not again."""
    mara, _ = await with_record(hospital)
    path = "/history/documents/download?document_id=document"
    whole = await mara.send("GET", path)
    assert (whole.status_code, whole.content, whole.headers["content-type"]) == (200, PDF, "application/pdf")
    assert "filename*=UTF-8''L%C3%ADpids_%20result_1.pdf" in whole.headers["content-disposition"]
    tag = whole.headers["etag"]
    assert (await mara.send("GET", path, headers={"If-None-Match": tag})).status_code == 304
    part = await mara.send("GET", path, headers={"Range": "bytes=2-5"})
    assert (part.status_code, part.content) == (206, PDF[2:6])
    assert part.headers["content-range"] == f"bytes 2-5/{len(PDF)}"
    assert (await mara.send("GET", path, headers={"Range": "bytes=-3"})).content == PDF[-3:]
    assert (await mara.send("GET", path, headers={"Range": f"bytes={len(PDF) - 1}-"})).content == PDF[-1:]
    several = await mara.send("GET", path, headers={"Range": "bytes=0-1,-1"})
    assert several.headers["Content-Type"].startswith("multipart/byteranges")
    assert several.status_code == 206
    stale = await mara.send("GET", path, headers={"Range": "bytes=0-1", "If-Range": '"old"'})
    assert stale.status_code == 200
    response = await mara.send("GET", path, headers={"Range": f"bytes={len(PDF)}-"})
    assert (response.status_code, response.json()["code"]) == (416, "range_not_satisfiable")


async def test_files_that_are_not_to_be_had(hospital: Hospital) -> None:
    """Another's document, an unknown one, one without a file and one guarded for another are not found."""
    mara, _ = await with_record(hospital)
    noor = await hospital.sign_up("noor")
    path = "/history/documents/download?document_id="
    await noor.refused("not_found", "GET", f"{path}document")
    await mara.refused("not_found", "GET", f"{path}none")
    await hospital.visitor().refused("invalid_token", "GET", f"{path}document")
    document = await hospital.fhir("GET", "DocumentReference/document")
    for url in ("Binary/none", "https://elsewhere.example.org/x.pdf", "Binary/../Patient/1", f"Patient/{noor.id}"):
        await hospital.put(document | {"content": [{"attachment": {"url": url}}]})
        await mara.refused("not_found", "GET", f"{path}document")
    binary = await hospital.fhir("GET", "Binary/pdf")
    await hospital.put(document, binary | {"securityContext": {"reference": f"Patient/{noor.id}"}})
    await mara.refused("not_found", "GET", f"{path}document")
    await hospital.put(binary | {"securityContext": {"reference": f"Patient/{mara.id}"}})
    assert (await mara.send("GET", f"{path}document")).content == PDF


async def test_inline_files(hospital: Hospital) -> None:
    """A file may stand in the document itself."""
    mara, _ = await with_record(hospital)
    document = await hospital.fhir("GET", "DocumentReference/document")
    attachment = {"contentType": "text/plain", "data": base64.b64encode(b"hello").decode()}
    await hospital.put(document | {"content": [{"attachment": attachment}]})
    answer = await mara.send("GET", "/history/documents/download?document_id=document")
    assert (answer.content, answer.headers["content-type"]) == (b"hello", "text/plain")
    assert (await mara.ask("GET", "/history/documents"))["items"][0]["size"] == 5


async def upload(user: AppUser, content_type: str = "application/pdf", name: str = "scan.pdf", **form: str) -> Any:
    headers = {"Authorization": f"Bearer {user.session['access_token']}"}
    data = {"document_type": "scan", **form}
    return await user.http.post(
        "/history/documents", data=data, files={"file": (name, PDF, content_type)}, headers=headers
    )


async def test_adding_a_document(hospital: Hospital) -> None:
    """A file that a user adds is kept with its hash, and comes back as it was."""
    mara, appointment_id = await with_record(hospital)
    answer = await upload(mara, name="../../etc/knee.pdf", appointment_id=appointment_id)
    assert answer.status_code == 201, answer.text
    row = answer.json()
    assert (row["title"], row["document_type"], row["size"]) == ("knee.pdf", "scan", len(PDF))
    assert row["appointment_id"] == appointment_id
    assert (await mara.send("GET", row["file_url"])).content == PDF
    stored = await hospital.fhir("GET", f"DocumentReference/{row['id']}")
    assert stored["content"][0]["attachment"]["hash"]
    noor = await hospital.sign_up("noor")
    await noor.refused("not_found", "GET", row["file_url"])


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"content_type": "application/x-msdownload"}, "file"),
        ({"content_type": "text/html"}, "file"),
        ({"document_type": "letter"}, "document_type"),
        ({"appointment_id": "none"}, "appointment_id"),
    ],
)
async def test_files_that_are_not_taken(hospital: Hospital, values: dict[str, str], field: str) -> None:
    """Types that could do harm, and faulty fields, are refused."""
    mara = await hospital.sign_up("mara")
    answer = await upload(mara, **values)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)
    assert (await hospital.fhir("GET", "Binary"))["total"] == 0
