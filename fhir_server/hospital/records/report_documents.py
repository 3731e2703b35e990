"""The documents that reports bring along: each DiagnosticReport.presentedForm, as a DocumentReference would tell of it.

https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.presentedForm
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from fhir_server.hospital.api.caller import Caller
from fhir_server.r4.ids import ID_PATTERN
from mappings.records import lab_tests, medical_documents
from mappings.shared import reading
from mappings.shared.elements import Resource

_ID = re.compile(rf"report_(\d{{1,4}})_({ID_PATTERN})")
"""No resource has an id with an underscore, so that none is mistaken for what a report brings along."""


@dataclass(frozen=True, slots=True)
class PatientDocument:
    """A document, as a DocumentReference tells of it, by the id that the app knows it by."""

    id: str
    document: dict[str, Any]
    source: dict[str, Any]
    """The stored resource that it is from: the DocumentReference itself, or the DiagnosticReport."""

    @property
    def is_of_report(self) -> bool:
        """Whether a report brings it along."""
        return self.source is not self.document


def stored(document: dict[str, Any]) -> PatientDocument:
    """Return the document that a stored DocumentReference is."""
    return PatientDocument(document["id"], document, document)


async def report_documents(caller: Caller) -> list[PatientDocument]:
    """Return the documents of all of the caller's reports."""
    reports = await caller.fhir.all("DiagnosticReport", [("subject", f"Patient/{caller.patient_id}")])
    return [document for report in reports.matches for document in _documents(report)]


async def report_document(caller: Caller, document_id: str) -> PatientDocument | None:
    """Return the document of that id, or None."""
    match = _ID.fullmatch(document_id)
    report = await caller.fhir.read("DiagnosticReport", match[2]) if match else None
    return next((item for item in _documents(report or {}) if item.id == document_id), None)


def _documents(report: dict[str, Any]) -> list[PatientDocument]:
    if report.get("status") in lab_tests.MISTAKEN:
        return []
    forms = enumerate(report.get("presentedForm", ()), 1)
    return [
        PatientDocument(f"report_{number}_{report['id']}", _description(report, form), report) for number, form in forms
    ]


def _description(report: Resource, form: Resource) -> dict[str, Any]:
    return {
        "resourceType": "DocumentReference",
        "id": report["id"],
        "meta": report.get("meta", {}),
        "status": "current",
        "docStatus": "final" if report.get("status") in lab_tests.FINISHED else "preliminary",
        "type": medical_documents.type_of("lab_report"),
        "subject": report.get("subject", {}),
        "date": report.get("issued") or report.get("effectiveDateTime"),
        "description": form.get("title") or reading.concept_text(report.get("code")),
        "content": [{"attachment": form}],
        # What the report belongs to, its document belongs to.
        "context": {
            "encounter": [report["encounter"]] if "encounter" in report else [],
            "related": report.get("basedOn", []),
        },
    }
