"""Carrying out an export: each step makes the next files of one type and stores how far that has come.

A step that is cut off leaves files that no export names, which are swept away; the next one begins where the last that
was stored has ended. So every resource is in exactly one file, whoever takes the steps.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec
import structlog
from msgspec.structs import replace

from fhir_server.auth.permission.access import ScopedAccess
from fhir_server.engine.access import Access, OpenAccess, acts_for, viewer
from fhir_server.engine.bulk.files import NdjsonFile
from fhir_server.engine.bulk.members import Members, members_of
from fhir_server.engine.bulk.parameters import ExportParameters
from fhir_server.engine.bulk.selections import ExportSelection, selection_of
from fhir_server.engine.context import Context, Services, now
from fhir_server.engine.panels import confined
from fhir_server.engine.search import subsets
from fhir_server.errors import FhirError, Forbidden, Unavailable
from fhir_server.r4 import values
from fhir_server.search.query.ast import Query
from fhir_server.store.accounts.bearer_tokens import bearer_token
from fhir_server.store.accounts.grants import is_in_force
from fhir_server.store.resources.as_of import PastResource, slice_after
from fhir_server.store.work.exports import Export, ExportFile, ExportStore, Part
from fhir_server.work.threads import breathe

MOST_ATTEMPTS = 5
_SLICE = 500
_WITH_ATTACHMENTS = frozenset({"DocumentReference", "Media", "DiagnosticReport", "Consent", "Communication", "Patient"})
_STEP_SECONDS = 1.0
_DELETIONS = 500
"""Deletions that one line, a transaction Bundle, holds."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """When a file is full."""

    resources: int = 100_000
    bytes: int = 256 * 1024 * 1024


async def take_step(services: Services, store: ExportStore, export: Export, limits: Limits | None = None) -> bool:
    """Take the next step of an export; returns False where it was removed or carried on by another meanwhile.

    What fails is tried again by the next steps, a few times.
    """
    try:
        new = (
            await _begun(services, export)
            if export.moment is None
            else await _further(services, store, export, limits or Limits())
        )
    except Unavailable:
        raise  # the database is away, which is no fault of the export
    except FhirError as error:
        new = _failed(services, export, error.issues[0].diagnostics)
    except Exception as error:
        log.error("export.failed", kind=type(error).__name__)
        if export.attempts + 1 < MOST_ATTEMPTS:
            new = replace(export, attempts=export.attempts + 1)
        else:
            new = _failed(services, export, "The server met a fault of its own.")
    if await store.replace(export, new):
        return True
    for file in new.files[len(export.files) :]:
        await store.discard(file.id)
    return False


async def _begun(services: Services, export: Export) -> Export:
    """Return the export with the moment that it shows, once all that was written until then is there."""
    moment = now()
    await services.following.barrier()
    stored = set(await services.search.types())
    return replace(export, moment=moment, parts=tuple(part for part in export.parts if part.type in stored))


def _failed(services: Services, export: Export, reason: str) -> Export:
    return _over(services, replace(export, failure=reason))


def _over(services: Services, export: Export) -> Export:
    finished = now()
    kept = timedelta(hours=services.settings.export_keep_hours)
    return replace(export, finished=finished, expires=finished + kept)


async def _further(services: Services, store: ExportStore, export: Export, limits: Limits) -> Export:
    """Return the export with the next files, of as many types as are done within a second."""
    context = Context(services, export.base_url, await access_of(services, export.token, export.base_url))
    until = time.monotonic() + _STEP_SECONDS
    acted_for = {*export.acted_for, *(acts_for(context.access) or ())}
    new = replace(export, attempts=0, acted_for=tuple(sorted(acted_for)))
    for number, part in enumerate(export.parts):
        if part.done:
            continue
        after, files, count = await _make_files(context, store, export, part, limits)
        done = Part(part.type, after or "", done=after is None)
        parts = (*new.parts[:number], done, *new.parts[number + 1 :])
        new = replace(new, parts=parts, files=(*new.files, *files), resources=new.resources + count)
        if not done.done or time.monotonic() > until:
            break
    return _over(services, new) if all(part.done for part in new.parts) else new


async def access_of(services: Services, meaning: dict[str, Any] | None, base_url: str) -> Access:
    """Return the access of who asked, as it is now; raises Forbidden where it has been taken away."""
    if meaning is None:
        return OpenAccess()
    token = bearer_token(meaning)
    if not await is_in_force(services.database, token):
        raise Forbidden("The right to this was taken away while it was under way.")
    access = ScopedAccess(token, timezone=services.settings.default_timezone, base_url=base_url)
    return await confined(services, access)


_members: dict[str, Members | None] = {}
"""Of the export that was worked on last: a Group of 100,000 is not read again for every file."""


async def _members_of(context: Context, export: Export, parameters: ExportParameters) -> Members | None:
    assert export.moment is not None, "members are those of the export's moment"
    name = f"{export.id} {export.moment}"
    if name not in _members:
        members = await members_of(context, parameters, export.moment)
        _members.clear()
        _members[name] = members
    return _members[name]


async def _make_files(
    context: Context, store: ExportStore, export: Export, part: Part, limits: Limits
) -> tuple[str | None, list[ExportFile], int]:
    """Write the next files of a type; return the id to go on from (None at the end), the files, and how many are in."""
    parameters = msgspec.convert(export.parameters, ExportParameters)
    selected = await selection_of(context, parameters, part.type, await _members_of(context, export, parameters))
    shown = _Shown(context, parameters, part.type)
    output = NdjsonFile(store, export, part.type, "output")
    deletions = NdjsonFile(store, export, part.type, "deleted")
    try:
        after = await _fill(context, export, selected, part.after, (output, deletions), shown, limits)
        view = viewer(context.access, [part.type])
        files = [file for each in (output, deletions) if (file := await each.close(view)) is not None]
    except BaseException:
        for each in (output, deletions):
            await each.abort()
        raise
    return after, files, output.count


async def _fill(  # noqa: PLR0917 - one loop over all of them
    context: Context,
    export: Export,
    selected: ExportSelection,
    after: str,
    files: tuple[NdjsonFile, NdjsonFile],
    shown: _Shown,
    limits: Limits,
) -> str | None:
    assert export.moment is not None, "an export begins with its moment"
    output, deletions = files
    while True:
        part = await slice_after(context.services.resources, selected.selection, export.moment, after, _SLICE)
        for each in part.resources:
            await breathe()
            if selected.keeps(each):
                await output.add(shown.of(each))
        gone = [each for each in part.deleted if selected.keeps_deletion(each)]
        for start in range(0, len(gone), _DELETIONS):
            await deletions.add(_deletion_bundle(gone[start : start + _DELETIONS]))
        if part.last is None or output.count >= limits.resources or output.length >= limits.bytes:
            return part.last
        after = part.last


class _Shown:
    """What a line shows of a resource: all, or the elements that were asked for; with absolute URLs of attachments."""

    def __init__(self, context: Context, parameters: ExportParameters, resource_type: str) -> None:
        query = Query((resource_type,), elements=parameters.elements)
        self._query = query if subsets.is_subset(query, resource_type) else None
        self._attachments = resource_type in _WITH_ATTACHMENTS
        self._url = f'"url":"{context.base_url}/Binary/'.encode()

    def of(self, row: PastResource) -> bytes:
        line = row.version.json
        if self._query is not None:
            line = subsets.subset(line, self._query)
        return line.replace(b'"url":"Binary/', self._url) if self._attachments else line


def _deletion_bundle(gone: list[PastResource]) -> bytes:
    entries: list[dict[str, Any]] = [
        {"request": {"method": "DELETE", "url": f"{each.version.type}/{each.version.id}"}} for each in gone
    ]
    return values.encode({"resourceType": "Bundle", "type": "transaction", "entry": entries})
