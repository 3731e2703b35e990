"""The documents that reports bring along: each DiagnosticReport.presentedForm, as a DocumentReference would tell of it.

https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.presentedForm
"""

from __future__ import annotations

import re
from typing import Any

from fhir_server.hospital.api.caller import Caller
from mappings.records import medical_documents
from mappings.shared import reading
from mappings.shared.elements import Resource

_ID = re.compile(r"report\.(\d{1,4})\.([A-Za-z0-9\-.]{1,64})")
_MISTAKEN = frozenset({"entered-in-error", "cancelled"})


async def report_documents(caller: Caller) -> list[dict[str, Any]]:
    """Return the documents of all of the caller's reports."""
    found = await caller.fhir.all("DiagnosticReport", [("subject", f"Patient/{caller.patient_id}")])
    return [document for report in found.matches for document in _documents(report)]


async def report_document(caller: Caller, document_id: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return the document of that id and the DiagnosticReport that it is of, or None."""
    match = _ID.fullmatch(document_id)
    report = await caller.fhir.read("DiagnosticReport", match[2]) if match else None
    if report is None:
        return None
    document = next((item for item in _documents(report) if item["id"] == document_id), None)
    return (document, report) if document else None


def _documents(report: Resource) -> list[dict[str, Any]]:
    if report.get("status") in _MISTAKEN:
        return []
    title = reading.concept_text(report.get("code"))
    return [
        {
            "resourceType": "DocumentReference",
            "id": f"report.{number}.{report['id']}",
            "meta": report.get("meta", {}),
            "status": "current",
            "type": medical_documents.type_of("lab_report"),
            "subject": report.get("subject", {}),
            "date": report.get("issued") or report.get("effectiveDateTime"),
            "description": form.get("title") or title,
            "content": [{"attachment": form}],
        }
        for number, form in enumerate(report.get("presentedForm", ()), 1)
    ]
