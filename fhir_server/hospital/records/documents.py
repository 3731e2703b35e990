"""Endpoints 35 and 36: the user's documents, their files, and adding one."""

from __future__ import annotations

import re
import uuid
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Query, UploadFile
from starlette.requests import Request
from starlette.responses import Response

from fhir_server.engine.context import now
from fhir_server.hospital.api.answers import Answer
from fhir_server.hospital.api.caller import Called, Caller
from fhir_server.hospital.api.description.openapi import errors
from fhir_server.hospital.api.fields import Words
from fhir_server.hospital.api.own import is_own, own_named
from fhir_server.hospital.api.paging import Cursor, Limit, Page, page_of
from fhir_server.hospital.api.problem import Problem, invalid
from fhir_server.hospital.api.spans import Day, lies_between
from fhir_server.hospital.records import file_range
from fhir_server.hospital.records.document_files import attachment_of, file_of
from fhir_server.hospital.records.document_visits import appointment_ids
from fhir_server.hospital.records.report_documents import PatientDocument, report_document, report_documents, stored
from fhir_server.http.content.disposition import content_disposition
from mappings.records import medical_documents
from mappings.records.file_types import TYPES
from mappings.records.medical_documents import DocumentType, MedicalDocument
from mappings.shared import reading
from mappings.shared.elements import LOINC, Resource
from translations.catalogue import N_, Language, translated

router = APIRouter(prefix="/history/documents", tags=["history"])

_BYTES = {"schema": {"type": "string", "format": "binary"}}
_FILES = dict.fromkeys((*sorted(TYPES), "application/octet-stream"), _BYTES)
_PRELIMINARY = N_("{title} (preliminary)")
_EXTENSIONS = {"application/pdf": ".pdf", "text/plain": ".txt", "image/png": ".png", "image/jpeg": ".jpg"}


class DocumentAnswer(Answer):
    """A document; `file_url` is where its file is to be had here."""

    user_id: str | None
    appointment_id: str | None
    document_type: DocumentType
    title: str | None
    content_type: str | None
    size: int | None
    file_url: str


@router.get("", responses=errors("invalid_token", "bad_cursor", "validation_failed"))
async def list_documents(
    caller: Called,
    *,
    document_type: DocumentType | None = None,
    start: Annotated[Day | None, Query(alias="from")] = None,
    end: Annotated[Day | None, Query(alias="to")] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[DocumentAnswer]:
    """Return the user's documents, the newest first."""
    # Two types make one list: documents, and what reports bring along. They are sorted by what a search of neither
    # sorts by (DocumentReference.date, else when it was changed), so the engine narrows by status and type alone.
    clock = await caller.clock()
    criteria = [("subject", f"Patient/{caller.patient_id}"), ("status", "current,superseded")]
    codes = medical_documents.codes_of(document_type) if document_type is not None else []
    if codes:
        criteria.append(("type", ",".join(f"{LOINC}|{code}" for code in codes)))
    documents = [stored(item) for item in (await caller.fhir.all("DocumentReference", criteria)).matches]
    if document_type in (None, "lab_report"):
        documents += await report_documents(caller)
    if document_type is not None:
        documents = [
            item for item in documents if medical_documents.from_fhir(item.document).document_type == document_type
        ]
    documents = [item for item in documents if lies_between(_dated(item), start, end, clock)]
    documents.sort(key=lambda item: (_dated(item), item.id), reverse=True)
    page = page_of(caller.server, "documents", documents, limit, cursor)
    return Page(items=await _answers(caller, page.items), total=page.total, next=page.next)


def _dated(document: PatientDocument) -> datetime:
    return reading.dated(document.document, "date")


async def _answers(caller: Caller, documents: list[PatientDocument]) -> list[DocumentAnswer]:
    # When the report was made counts for what it brings along, and that it says itself.
    created = await caller.fhir.created(item.document for item in documents if not item.is_of_report)
    appointments = await appointment_ids(caller, [item.document for item in documents])
    language = await caller.language()
    answers = []
    for item, appointment_id in zip(documents, appointments, strict=True):
        row = medical_documents.from_fhir(item.document, created=None if item.is_of_report else created.get(item.id))
        title = _title(item.document, row.title, language)
        more = {"id": item.id, "appointment_id": appointment_id, "size": await _size(caller, item), "title": title}
        url = f"/history/documents/download?document_id={item.id}"
        answers.append(DocumentAnswer.of(row, file_url=url, **more))
    return answers


def _title(document: Resource, title: str | None, language: Language) -> str | None:
    """Return the title to show; that of a document that is not final says so."""
    if not medical_documents.is_preliminary(document):
        return title
    return translated(_PRELIMINARY, language).format(title=title or "").strip()


async def _size(caller: Caller, document: PatientDocument) -> int | None:
    """Return how many bytes the file has: as it says itself, else counted where it is."""
    attachment = attachment_of(document.document)
    size: int | None = attachment.get("size")
    if size is not None and "data" not in attachment:
        return size
    file = await file_of(caller, document.document, document.source)
    return file.content.size if file else None


# --- The file ----------------------------------------------------------------------------------------------------


@router.get(
    "/download",
    response_class=Response,
    responses={
        **errors("invalid_token", "not_found", "file_missing", "range_not_satisfiable"),
        200: {"description": "The file, in the type that it was stored with.", "content": _FILES},
        206: {"description": "A part of the file.", "content": _FILES},
        304: {"description": "The file that `If-None-Match` names."},
    },
)
async def download(request: Request, caller: Called, document_id: Annotated[str, Query(max_length=80)]) -> Response:
    """Return a document's file, or the part of it that is asked for."""
    requested = await _document(caller, document_id)
    if requested is None or not is_own(caller, requested.source):
        raise Problem("not_found")
    file = await file_of(caller, requested.document, requested.source)
    if file is None:
        raise Problem("file_missing" if medical_documents.is_missing(requested.document) else "not_found")
    headers = {
        "Content-Disposition": _disposition(requested.document, file.content_type, await caller.language()),
        # What others uploaded must not run in the origin of this server.
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Cache-Control": "private, no-cache",
    }
    return await file_range.response(request, file, headers)


async def _document(caller: Caller, document_id: str) -> PatientDocument | None:
    document = await caller.fhir.read("DocumentReference", document_id)
    return stored(document) if document else await report_document(caller, document_id)


def _disposition(document: Resource, content_type: str, language: Language) -> str:
    row = medical_documents.from_fhir(document)
    title = _title(document, row.title, language) or f"document-{row.id}"
    return content_disposition(title, _EXTENSIONS.get(content_type.partition(";")[0], ""))


# --- Adding one --------------------------------------------------------------------------------------------------


@router.post("", status_code=201, responses=errors("invalid_token", "too_large", "validation_failed"))
async def add_document(
    request: Request,
    caller: Called,
    *,
    file: Annotated[UploadFile, File()],
    document_type: Annotated[DocumentType, Form()],
    title: Annotated[Words | None, Form(max_length=200)] = None,
    appointment_id: Annotated[str | None, Form(max_length=64)] = None,
) -> DocumentAnswer:
    """Add a document to the user's record."""
    content_type = (file.content_type or "").partition(";")[0].strip().lower()
    if content_type not in TYPES:
        raise invalid("file", "file_type")
    if not file.size:
        raise invalid("file", "blank")
    if appointment_id is not None:
        await own_named(caller, "Appointment", "appointment_id", appointment_id)
    row = MedicalDocument(
        id=str(uuid.uuid4()),
        user_id=caller.patient_id,
        appointment_id=appointment_id,
        document_type=document_type,
        title=(title or "").strip() or _name(file.filename),
        content_type=content_type,
    )
    async with caller.server.admission.turn(file.size, request.receive):  # until then a large file is on the disk
        document = await _kept(caller, row, await file.read())
    return (await _answers(caller, [stored(document)]))[0]


async def _kept(caller: Caller, row: MedicalDocument, data: bytes) -> dict[str, Any]:
    made = medical_documents.to_fhir(row, at=now(), data=data)
    assert made.binary is not None, "there are bytes"
    binary = await caller.acting.create(made.binary)
    made.document["content"][0]["attachment"]["url"] = f"Binary/{binary['id']}"
    return dict(await caller.acting.create(made.document))


def _name(filename: str | None) -> str | None:
    # Only as a title: it never becomes a path. Browsers write a quotation mark like this:
    # https://html.spec.whatwg.org/multipage/form-control-infrastructure.html#multipart-form-data
    base_name = (filename or "").replace("%22", '"').replace("\\", "/").rpartition("/")[2]
    name = re.sub(r"[\x00-\x1f\x7f]|%0[AD]", "", base_name).strip()
    return name[:200] or None
