"""Reports and orders: what was never ordered here is shown, and what was revoked is not."""

from __future__ import annotations

import base64
from typing import Any

from tests.facade_server import Hospital


def resources(patient: str) -> list[dict[str, Any]]:
    """Return a report without an order that brings two files along, and orders that do not stand any more."""
    subject = {"subject": {"reference": f"Patient/{patient}"}}
    order: dict[str, Any] = {
        "resourceType": "ServiceRequest",
        "intent": "order",
        "code": {"text": "Ferritin"},
        **subject,
    }
    report: dict[str, Any] = {"resourceType": "DiagnosticReport", "code": {"text": "Lipids"}, **subject}
    return [
        {"resourceType": "Binary", "id": "scan", "contentType": "image/png", "data": "eHl6",
         "securityContext": {"reference": f"Patient/{patient}"}},
        {"resourceType": "Observation", "id": "wrong", "status": "entered-in-error", "code": {"text": "LDL"},
         "valueInteger": 9, **subject},
        {**report, "id": "alone", "status": "final", "conclusion": "Fine.", "issued": "2026-03-01T10:00:00Z",
         "result": [{"reference": "Observation/wrong"}],
         "presentedForm": [{"contentType": "text/plain", "data": base64.b64encode(b"Lipids: fine").decode()},
                           {"contentType": "image/png", "url": "Binary/scan", "title": "Curve"}]},
        {**report, "id": "mistaken", "status": "entered-in-error",
         "presentedForm": [{"contentType": "text/plain", "data": "eA=="}]},
        {**report, "id": "coming", "status": "registered"},
        *({**order, "id": status, "status": status} for status in ("active", "revoked", "entered-in-error", "draft")),
    ]  # fmt: skip


async def test_orders_and_reports_in_the_list_of_results(hospital: Hospital) -> None:
    """A report without an order is a completed row of its own; a revoked, mistaken or drafted order is none."""
    mara = await hospital.sign_up("mara")
    await hospital.put(*resources(mara.id))
    rows = {item["id"]: item for item in (await mara.ask("GET", "/lab-tests/results"))["items"]}
    assert rows.keys() == {"alone", "active"}
    reported = ("treatment_plan_id", "test_name", "result", "status", "report_id", "observations")
    assert [rows["alone"][name] for name in reported] == [None, "Lipids", "Fine.", "completed", "alone", []]
    assert (await mara.ask("GET", "/lab-tests/results?status=pending"))["total"] == 1


async def test_files_of_reports_are_documents(hospital: Hospital) -> None:
    """What a report brings along is a document of type lab_report, and its file can be had by its owner alone."""
    mara, noor = await hospital.sign_up("mara"), await hospital.sign_up("noor")
    await hospital.put(*resources(mara.id))
    answer = (await mara.ask("GET", "/history/documents?document_type=lab_report"))["items"]
    assert sorted((item["title"], item["content_type"]) for item in answer) == [
        ("Curve", "image/png"),
        ("Lipids", "text/plain"),
    ]
    for item in answer:
        response = await mara.send("GET", item["file_url"])
        assert response.content == (b"xyz" if item["title"] == "Curve" else b"Lipids: fine")
        await noor.refused("not_found", "GET", item["file_url"])
    for document_id in ("report_3_alone", "report_0_alone", "report_1_mistaken", "report_1_none"):
        await mara.refused("not_found", "GET", f"/history/documents/download?document_id={document_id}")


async def test_what_is_not_final_says_so(hospital: Hospital) -> None:
    """The file of a report, or a document, that may still change says it in its title, in the user's language."""
    mara = await hospital.sign_up("mara", language="es")
    subject = {"subject": {"reference": f"Patient/{mara.id}"}}
    form = {"presentedForm": [{"contentType": "text/plain", "data": "eA=="}]}
    reports = [
        {
            "resourceType": "DiagnosticReport",
            "id": status,
            "status": status,
            "code": {"text": status},
            **subject,
            **form,
        }
        for status in ("registered", "partial", "preliminary", "unknown", "final", "amended", "corrected", "appended")
    ]
    documents = [
        {"resourceType": "DocumentReference", "id": status, "status": "current", "docStatus": status, **subject,
         "description": status, "content": [{"attachment": {"contentType": "text/plain", "data": "eA=="}}]}
        for status in ("preliminary", "final")
    ]  # fmt: skip
    untitled = {**documents[0], "id": "untitled"}
    del untitled["description"]
    await hospital.put(*reports, *documents, untitled)
    by_name = {item["id"]: item for item in (await mara.ask("GET", "/history/documents"))["items"]}
    changing = {name for name, item in by_name.items() if (item["title"] or "").endswith("(preliminar)")}
    names = ("registered", "partial", "preliminary", "unknown")
    assert changing == {*(f"report_1_{name}" for name in names), "preliminary", "untitled"}
    assert by_name["untitled"]["title"] == "(preliminar)"
    answer = await mara.send("GET", by_name["report_1_partial"]["file_url"])
    assert 'filename="partial (preliminar).txt"' in answer.headers["content-disposition"]
