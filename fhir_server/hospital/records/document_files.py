"""The files of documents: inline, or in a Binary of this server that the document's writer could read."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from fhir_server.hospital.api.caller import Caller
from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.store.resources.contents import Content, HeldContent
from mappings.shared import reading
from mappings.shared.elements import Resource

UNKNOWN_TYPE = "application/octet-stream"


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
    said = attachment.get("contentType")
    if "data" in attachment:
        held = HeldContent.of(attachment["data"])
        return DocumentFile(said or UNKNOWN_TYPE, held, _etag(held.data))
    found = await _binary(caller, source, str(attachment.get("url", "")))
    if found is None:
        return None
    binary, content = found
    # The version tells the bytes, which need not be read to know whether they are the same.
    etag = _etag(content.data if isinstance(content, HeldContent) else f"{binary['id']}/{_version(binary)}".encode())
    return DocumentFile(said or binary.get("contentType") or UNKNOWN_TYPE, content, etag)


def attachment_of(document: Resource) -> Resource:
    """Return the attachment of a document, the first one."""
    return reading.first(content.get("attachment", {}) for content in document.get("content") or ())


def _etag(text: bytes) -> str:
    return f'"{hashlib.sha256(text).hexdigest()}"'


def _version(binary: Resource) -> str:
    return str(binary.get("meta", {}).get("versionId"))


async def _binary(caller: Caller, document: Resource, url: str) -> tuple[Resource, Content] | None:
    """Return the Binary of a document: the caller's own, or one that whoever wrote the document could read, too."""
    relative = url.removeprefix(f"{caller.server.base_url}/").partition("/_history/")[0]
    if not re.fullmatch(r"Binary/[A-Za-z0-9\-.]{1,64}", relative):
        return None
    found = await caller.public.content(relative.removeprefix("Binary/"))
    context = _here(caller, found[0].get("securityContext")) if found else ""
    if context == f"Patient/{caller.patient_id}":
        return found
    # A Binary that is guarded for somebody else stays so, whoever refers to it.
    may = await caller.may_follow(document, relative) and (not context or await _sees(caller, context))
    return found if may else None


def _here(caller: Caller, reference: Resource | None) -> str:
    """Return what a reference says, relative where it leads to this server; empty for none at all."""
    if reference is None:
        return ""
    return str(reference.get("reference", "?")).removeprefix(f"{caller.server.base_url}/")


async def _sees(caller: Caller, context: str) -> bool:
    kind, _, resource_id = context.partition("/")
    return kind in RESOURCE_TYPES and await caller.fhir.read(kind, resource_id) is not None
