"""Table `medical_documents`: a DocumentReference, and a Binary with the file. https://hl7.org/fhir/R4/documentreference.html"""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import datetime
from typing import Any, Literal, NamedTuple

from fhir_server.own_urls import own_url
from mappings.shared import elements, reading
from mappings.shared.elements import LOINC, Element, Resource
from mappings.shared.rows import Code, Id, Row, Text, Url

DocumentType = Literal["lab_report", "scan", "prescription", "other"]

_LOINC: dict[str, tuple[str, str]] = {
    "lab_report": ("11502-2", "Laboratory report"),
    "scan": ("18748-4", "Diagnostic imaging study"),
    "prescription": ("57833-6", "Prescription for medication"),
}
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")
_TYPES: dict[str, DocumentType] = {"11502-2": "lab_report", "18748-4": "scan", "57833-6": "prescription"}


class MedicalDocument(Row):
    """A row of `medical_documents`, with what is known of the file."""

    user_id: Id | None = None
    appointment_id: Id | None = None
    document_type: DocumentType = "other"
    file_url: Url | None = None
    title: Text | None = None
    content_type: Code | None = None


class DocumentResources(NamedTuple):
    """What is known of the file, and the file where it is kept here."""

    document: dict[str, Any]
    binary: dict[str, Any] | None


def to_fhir(row: MedicalDocument, *, at: datetime, data: bytes | None = None) -> DocumentResources:
    """Return the DocumentReference, dated `at`, and the Binary of the file's bytes if given."""
    document = elements.build(
        "DocumentReference",
        {
            "id": row.id,
            "meta": elements.meta("hms-document"),
            "extension": elements.row_extensions(row),
            "status": "current",
            "type": type_of(row.document_type),
            "subject": elements.reference("Patient", row.user_id),
            "date": elements.instant(at),
            "description": row.title,
            "content": [{"attachment": _attachment(row, data) or elements.ABSENT}],
            "context": {"related": elements.references("Appointment", [row.appointment_id])},
        },
    )
    return DocumentResources(document, None if data is None else _binary(row, data))


def type_of(document_type: DocumentType) -> Element:
    """Return the CodeableConcept that says the type."""
    if document_type == "other":
        return elements.concept(own_url("CodeSystem", "document-type"), "other", "Other document")
    return elements.concept(LOINC, *_LOINC[document_type])


def codes_of(document_type: DocumentType) -> list[str]:
    """Return the LOINC codes that say the type; none of `other`, which all other codes say."""
    return [code for code, named in _TYPES.items() if named == document_type]


def _attachment(row: MedicalDocument, data: bytes | None) -> Element:
    about = {"contentType": row.content_type, "title": row.title}
    if data is None:
        # Where a path leads is known to nobody but the hospital that the row came from.
        is_missing = row.file_url is not None and not _URL.match(row.file_url)
        status = elements.extension("file-status", "Code", "missing" if is_missing else None)
        attachment = {"extension": [status] if status else None, **about, "url": row.file_url}
        return {name: value for name, value in attachment.items() if value}
    return {
        "extension": [elements.extension("file-url", "Url", row.file_url)],
        **about,
        "url": f"Binary/{row.id}",
        "size": len(data),
        "hash": _hash(data),
    }


def _hash(data: bytes) -> str:
    # Attachment.hash is a SHA-1 by definition; it tells versions apart and protects nothing.
    return base64.b64encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode()


def _binary(row: MedicalDocument, data: bytes) -> dict[str, Any]:
    return elements.build(
        "Binary",
        {
            "id": row.id,
            "contentType": row.content_type or "application/octet-stream",
            "securityContext": elements.reference("Patient", row.user_id),
            "data": base64.b64encode(data).decode(),
        },
    )


def is_missing(document: Resource) -> bool:
    """Return whether the document's file was not brought in with its row."""
    attachment = reading.first(document.get("content")).get("attachment", {})
    return bool(reading.extension(attachment, "file-status") == "missing")


def is_preliminary(document: Resource) -> bool:
    """Return whether the document is not final yet, so that what it says may change."""
    return document.get("docStatus") == "preliminary"


def from_fhir(
    document: Resource, *, created: datetime | None = None, deleted: datetime | None = None
) -> MedicalDocument:
    """Return the row that a DocumentReference is."""
    attachment = reading.first(document.get("content")).get("attachment", {})
    types = (_TYPES.get(code) for code in reading.codes([document.get("type", {})], LOINC))
    url = reading.extension(attachment, "file-url") or attachment.get("url")
    return MedicalDocument.read(
        document,
        user_id=reading.reference_id(document.get("subject"), "Patient"),
        appointment_id=reading.referenced(document.get("context", {}).get("related"), "Appointment"),
        document_type=next(filter(None, types), "other"),
        file_url=url,
        title=document.get("description") or (attachment.get("title") if url or "data" in attachment else None),
        content_type=attachment.get("contentType"),
        **reading.row_times(document, created, deleted),
    )
