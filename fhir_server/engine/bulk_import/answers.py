"""How an import stands, its end, and the report of what was refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fhir_server.engine.access import owner_of
from fhir_server.engine.context import Context, Request, Response, instant
from fhir_server.engine.disclosure import note_question
from fhir_server.engine.routes import Route
from fhir_server.errors import FhirError, Issue, NotFound, operation_outcome
from fhir_server.r4 import values
from fhir_server.store.work.bulk_imports import BulkImport, Total

_REFUSALS_IN_A_FILE = 2000


class ImportFailed(FhirError):
    """The import has ended before its time."""

    status, code = 500, "exception"


async def find(context: Context, route: Route) -> BulkImport | None:
    """Return the import of the URL, where it is one of the caller's."""
    return await context.services.stores.bulk_imports.find(route.id or "", owner_of(context.access))


async def status(context: Context, work: BulkImport) -> Response:
    """Answer 202 while the import is under way, and 200 with its report when it is done; raises ImportFailed."""
    if work.failure:
        raise ImportFailed(work.failure)
    if work.finished is None:
        progress = f"{work.fetched} of {len(work.inputs)} inputs fetched, {work.stored} resources stored"
        return Response(202, None, headers={"X-Progress": progress, "Retry-After": "1"})
    totals = await context.services.stores.bulk_imports.totals(work.id)
    headers = {"Expires": f"{work.expires:%a, %d %b %Y %H:%M:%S} GMT", "Cache-Control": "private, no-cache"}
    report = values.encode(_report(work, totals, with_token=context.services.settings.open is False))
    return Response(200, report, headers=headers, content_type="application/json")


def _report(work: BulkImport, totals: dict[int, Total], *, with_token: bool) -> dict[str, Any]:
    output, error = [], []
    for number, each in enumerate(work.inputs):
        total = totals.get(number, Total({}, {}))
        output += [{"type": name, "inputUrl": each.url, "count": count} for name, count in sorted(total.stored.items())]
        for first, last, count in _files(total.refused):
            url = f"{work.base_url}/_async/{work.id}/{number}-{first}-{last}.ndjson"
            error.append({"type": "OperationOutcome", "inputUrl": each.url, "count": count, "url": url})
    return {
        "transactionTime": instant(work.created),
        "request": work.url,
        **({"inputSource": work.source} if work.source else {}),
        "requiresAccessToken": with_token,
        "output": output,
        "error": error,
    }


def _files(refused: dict[int, int]) -> Iterator[tuple[int, int, int]]:
    """Yield which parts one file of refusals is about, from the first to the last, and how many lines it has."""
    first, last, count = -1, -1, 0
    for number, lines in sorted(refused.items()):
        if count and count + lines > _REFUSALS_IN_A_FILE:
            yield first, last, count
            first, count = -1, 0
        first, last, count = (number if first < 0 else first), number, count + lines
    if count:
        yield first, last, count


async def cancel(context: Context, work: BulkImport) -> Response:
    """End the import, or forget its report; answers 202. What is stored stays."""
    await context.services.stores.bulk_imports.remove(work)
    text = "The import has been ended; what it has stored stays." if work.finished is None else "The report is removed."
    return Response(202, values.encode(operation_outcome([Issue("informational", text, (), "information")])))


async def file(context: Context, request: Request, route: Route, work: BulkImport) -> Response:
    """Answer with a file of refusals, an OperationOutcome a line; raises NotFound."""
    context.access.require("import", "*")
    numbers = (route.version or "").removesuffix(".ndjson").split("-")
    if work.finished is None or len(numbers) != 3 or not all(part.isdecimal() and len(part) < 9 for part in numbers):
        raise NotFound("There is no such file.")
    number, first, last = map(int, numbers)
    totals = await context.services.stores.bulk_imports.totals(work.id)
    if (first, last) not in [pair[:2] for pair in _files(totals.get(number, Total({}, {})).refused)]:
        raise NotFound("There is no such file.")
    note_question(f"_async/{work.id}/{route.version}", [("request", work.url)])
    refusals = context.services.stores.bulk_imports.refusals(work.id, number, first, last)
    lines = [refusal async for refusal in refusals]
    return Response(200, b"".join(line + b"\n" for line in lines), content_type="application/fhir+ndjson")
