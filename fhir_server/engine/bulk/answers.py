"""How an export stands, its end, and its files. https://hl7.org/fhir/uv/bulkdata/STU2/export.html#bulk-data-status-request"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from typing import Any

from fhir_server.engine.access import owner_of, require_acting_for, viewer
from fhir_server.engine.context import Context, Download, Request, Response, instant
from fhir_server.engine.disclosure import note_question
from fhir_server.engine.routes import Route
from fhir_server.errors import FhirError, Forbidden, Issue, NotFound, operation_outcome
from fhir_server.r4 import values
from fhir_server.store.work.exports import Export, ExportFile, ExportStore

_GZIP = 31
_NDJSON = "application/fhir+ndjson"


class ExportFailed(FhirError):
    """The export has ended without its files."""

    status, code = 500, "exception"


async def status(context: Context, request: Request, route: Route) -> Response:
    """Answer 202 while the export is under way, 200 with the manifest when it is done.

    Raises NotFound, and ExportFailed with the reason.
    """
    export = await _own(context, route)
    if export.failure:
        raise ExportFailed(export.failure)
    if export.finished is None:
        return Response(202, None, headers={"X-Progress": _progress(export), "Retry-After": _pause(export)})
    headers = {"Expires": f"{export.expires:%a, %d %b %Y %H:%M:%S} GMT", "Cache-Control": "private, no-cache"}
    return Response(200, values.encode(manifest(export)), headers=headers, content_type="application/json")


def _progress(export: Export) -> str:
    if export.moment is None:
        return "waiting for its turn"
    done = sum(part.done for part in export.parts)
    return f"{done} of {len(export.parts)} types, {export.resources} resources"


def _pause(export: Export) -> str:
    """Return the seconds after which it is worth to ask again: the longer an export has gone on, the more."""
    return "1" if export.resources < 100_000 else "10"


def manifest(export: Export) -> dict[str, Any]:
    """Return what there is to download."""
    assert export.moment is not None, "a finished export has begun"
    listed: dict[str, list[dict[str, Any]]] = {"output": [], "deleted": [], "error": []}
    for file in export.files:
        listed[file.kind].append(
            {
                "type": "OperationOutcome"
                if file.kind == "error"
                else "Bundle"
                if file.kind == "deleted"
                else file.type,
                "url": f"{export.base_url}/_async/{export.id}/{file.id.partition('.')[2]}.ndjson",
                "count": file.count,
            }
        )
    return {
        "transactionTime": instant(export.moment),
        "request": export.url,
        "requiresAccessToken": export.token is not None,
        **listed,
    }


async def cancel(context: Context, request: Request, route: Route) -> Response:
    """End an export, or forget a finished one with its files; answers 202. Raises NotFound."""
    export = await _own(context, route)
    await _store(context).remove(export)
    issue = Issue("informational", "The export has been ended and its files are removed.", (), "information")
    return Response(202, values.encode(operation_outcome([issue])))


async def file(context: Context, request: Request, route: Route) -> Response:
    """Answer with a file, streamed; raises NotFound, and Forbidden where the token sees less than who asked for it."""
    export = await _own(context, route)
    name = (route.version or "").removesuffix(".ndjson")
    chosen = next((each for each in export.files if each.id == f"{export.id}.{name}"), None)
    if chosen is None or export.finished is None:
        raise NotFound("There is no such file.")
    context.access.require("search-type", chosen.type)
    seen = viewer(context.access, [chosen.type])
    if seen and seen != chosen.view:
        raise Forbidden(f"The access token does not cover all the {chosen.type} resources of this file.")
    require_acting_for(context.access, export.acted_for)
    note_question(f"_async/{export.id}/{route.version}", [("type", chosen.type), ("request", export.url)])
    store = _store(context)
    download = Download(
        plain=lambda start: _plain(store, chosen, start),
        length=chosen.length,
        gzip=lambda start: store.read(chosen.id, start),
        gzip_length=chosen.compressed,
        tag=name,
    )
    return Response(200, download=download, content_type=_NDJSON)


async def _plain(store: ExportStore, file: ExportFile, start: int) -> AsyncIterator[bytes]:
    """Yield the NDJSON from a byte on."""
    unpack = zlib.decompressobj(_GZIP)
    skipped = 0
    async for chunk in store.read(file.id):
        data = unpack.decompress(chunk)
        if skipped + len(data) > start:
            yield data[max(0, start - skipped) :]
        skipped += len(data)


async def _own(context: Context, route: Route) -> Export:
    export = await _store(context).find(route.id or "", owner_of(context.access))
    if export is None:
        raise NotFound("There is no such export, or it has expired.")
    return export


def _store(context: Context) -> ExportStore:
    return context.services.stores.exports
