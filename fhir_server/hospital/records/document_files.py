"""The files of documents: inline, or in a Binary of this server that the document's writer could read."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from fhir_server.hospital.api.caller import Caller
from fhir_server.http.content.representation import sent_type
from fhir_server.r4.references import Literal, local
from fhir_server.store.resources.contents import Content, HeldContent
from mappings.shared import reading
from mappings.shared.elements import Resource


@dataclass(frozen=True, slots=True)
class DocumentFile:
    """A document's file: its media type, its content, and the ETag of that content."""

    content_type: str
    content: Content
    etag: str


async def file_of(caller: Caller, document: Resource, source: Resource) -> DocumentFile | None:
    """Return the file of a document, or None where there is none that the caller may have.

    `source` is the stored resource that the document's link stands in: itself, or the report that it is of.
    """
    attachment = attachment_of(document)
    content_type = attachment.get("contentType")
    if "data" in attachment:
        held = HeldContent.of(attachment["data"])
        return DocumentFile(sent_type(content_type), held, _etag(held.data))
    stored = await _binary(caller, source, str(attachment.get("url", "")))
    if stored is None:
        return None
    binary, content = stored
    # The version tells the bytes, which need not be read to know whether they are the same.
    etag = _etag(content.data if isinstance(content, HeldContent) else f"{binary['id']}/{_version(binary)}".encode())
    return DocumentFile(sent_type(content_type or binary.get("contentType")), content, etag)


def attachment_of(document: Resource) -> Resource:
    """Return the attachment of a document, the first one."""
    return reading.first(content.get("attachment", {}) for content in document.get("content") or ())


def _etag(text: bytes) -> str:
    return f'"{hashlib.sha256(text).hexdigest()}"'


def _version(binary: Resource) -> str:
    return str(binary.get("meta", {}).get("versionId"))


async def _binary(caller: Caller, document: Resource, url: str) -> tuple[Resource, Content] | None:
    """Return the Binary of a document: the caller's own, or one that whoever wrote the document could read, too."""
    named = local(url, caller.server.base_url)
    if named is None or named.type != "Binary":
        return None
    stored = await caller.public.content(named.id)
    guard = stored[0].get("securityContext") if stored else None
    guarded_for = None if guard is None else local(guard.get("reference"), caller.server.base_url)
    if guarded_for is not None and guarded_for.resource == f"Patient/{caller.patient_id}":
        return stored
    # A Binary that is guarded for somebody else stays so, whoever refers to it.
    may = await caller.may_follow(document, named.resource) and (guard is None or await _sees(caller, guarded_for))
    return stored if may else None


async def _sees(caller: Caller, guarded_for: Literal | None) -> bool:
    return guarded_for is not None and await caller.fhir.read(guarded_for.type, guarded_for.id) is not None
