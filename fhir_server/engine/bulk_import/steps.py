"""How an import goes on: its inputs are fetched in parts, the parts stored in rounds, and then it is over.

Every step leaves the database so that another worker can take the next, wherever this one ends.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeAlias
from urllib.parse import quote

import structlog
from msgspec.structs import replace

from fhir_server.auth.outbound import Answered, Refused, Unanswered
from fhir_server.engine.bulk.steps import access_of
from fhir_server.engine.bulk_import.sources import lines_of, read_source
from fhir_server.engine.context import Context, Request, Response, Services, now
from fhir_server.engine.loading.loading import RETRIED, Loaded, Refusal, load_into
from fhir_server.engine.loading.parts import LARGEST_PART, Part
from fhir_server.engine.loading.transactions import Transactions
from fhir_server.engine.loading.units import Entry, Write, write_by_id
from fhir_server.errors import BadRequest, FhirError, Issue, Unavailable, operation_outcome
from fhir_server.r4 import values
from fhir_server.store.work.bulk_imports import BulkImport, BulkImportStore, ImportPart, Overtaken, part_id
from fhir_server.work.budget import Budget, counted, working
from fhir_server.work.threads import apart

LONGEST_LINE = 12 * 1024 * 1024
"""Bytes; a part must fit into a document of the database."""
_LINES = 200
_ATTEMPTS = 3
_PAUSES = (1.0, 5.0)
_MOST_ISSUES = 20
MOST_ATTEMPTS = 5

Tell: TypeAlias = "Callable[[BulkImport, Request, Response], Awaitable[None]]"
"""Has the audit trail learn of a transaction that was carried out."""

log = structlog.get_logger(__name__)


async def carry_out(services: Services, work: BulkImport, tell: Tell) -> None:
    """Take the import from where it stands to its end; raises Unavailable, and Overtaken where another has it.

    What fails by a fault of the server's own is tried again, a few times.
    """
    store = services.stores.bulk_imports
    current: BulkImport | None = work
    while current is not None and current.finished is None:
        before: BulkImport = current
        try:
            current = await _step(services, store, before, tell)
        except (Unavailable, Overtaken):
            raise  # no fault of the import
        except FhirError as error:
            await _end(services, store, before, error.issues[0].diagnostics)
            return
        except Exception as error:
            log.error("import.failed", kind=type(error).__name__)
            if before.attempts + 1 >= MOST_ATTEMPTS:
                await _end(services, store, before, "The server met a fault of its own.")
                return
            current = await store.replace(before, attempts=before.attempts + 1)


async def _step(services: Services, store: BulkImportStore, work: BulkImport, tell: Tell) -> BulkImport | None:
    """Take the next step; returns the import as it is then, None where it was removed or is another worker's."""
    context = Context(services, work.base_url, await access_of(services, work.token, work.base_url), quiet=True)
    if work.fetched < len(work.inputs):
        await _fetch(context, store, work, work.fetched)
        return await store.replace(work, fetched=work.fetched + 1, attempts=0)
    part = await store.next_part(work.id)
    if part is not None:
        before = sum(part.stored.values())
        stored = await _store(context, store, work, part, tell)
        return await store.replace(work, stored=work.stored + stored - before, attempts=0)
    refused = await store.refused(work.id)
    if refused and (work.refused is None or refused < work.refused):
        await store.again(work.id)
        return await store.replace(work, refused=refused)
    await _end(services, store, work, "")
    return None


async def _end(services: Services, store: BulkImportStore, work: BulkImport, failure: str) -> None:
    await store.give_up(work.id)
    finished = now()
    kept = timedelta(hours=services.settings.export_keep_hours)
    current = await store.find(work.id, work.owner)
    if current is not None:
        await store.replace(current, failure=failure, finished=finished, expires=finished + kept)
    await store.forget_records(work.id)


# --- Fetching -------------------------------------------------------------------------------------------------------


async def _fetch(context: Context, store: BulkImportStore, work: BulkImport, number: int) -> None:
    """Store the lines of an input in parts; of one that cannot be read, why."""
    for attempt in range(_ATTEMPTS):
        await store.forget_input(work.id, number)
        try:
            await read_source(
                context, work.inputs[number].url, lambda pieces: _keep(context, store, work, number, pieces)
            )
        except Refused as refused:
            if attempt + 1 < _ATTEMPTS and _may_pass(refused):
                await asyncio.sleep(_PAUSES[attempt])
                continue
            await store.forget_input(work.id, number)
            issue = Issue("not-found", f"The input cannot be read: {refused}. Nothing of it is stored.")
            outcome = values.encode(operation_outcome([issue]))
            await store.add_parts([replace(_part(work, number, 0, 1, b""), refusals=(outcome,))])
        return


def _may_pass(refused: Refused) -> bool:
    """Return whether it is worth asking again."""
    return isinstance(refused, Unanswered) or (isinstance(refused, Answered) and refused.status >= 500)


async def _keep(
    context: Context, store: BulkImportStore, work: BulkImport, number: int, pieces: AsyncIterator[bytes]
) -> None:
    settings = context.services.settings
    longest = min(LONGEST_LINE, settings.max_body_bytes)
    lines: list[bytes] = []
    size = parts = 0
    first = line_number = 1
    too_long: list[int] = []
    async for line in lines_of(pieces, longest, settings.max_import_bytes):
        if line is None:
            too_long.append(line_number)
        lines.append(line or b"")
        size += len(lines[-1])
        line_number += 1
        if len(lines) >= _LINES or size >= LARGEST_PART:
            await _keep_part(store, work, (number, parts, first), lines, too_long, longest)
            parts, first, lines, size, too_long = parts + 1, line_number, [], 0, []
    if lines:
        await _keep_part(store, work, (number, parts, first), lines, too_long, longest)


async def _keep_part(  # noqa: PLR0917 - what one part is made of
    store: BulkImportStore,
    work: BulkImport,
    place: tuple[int, int, int],
    lines: list[bytes],
    too_long: list[int],
    longest: int,
) -> None:
    data = await apart(zlib.compress, b"\n".join(lines), 1)
    text = f"The line is longer than {longest} bytes."
    issues = [Issue("too-long", text, (f"line {line}",)) for line in too_long]
    unread = tuple(values.encode(operation_outcome([issue])) for issue in issues)
    await store.add_parts([replace(_part(work, *place, data), unread=unread)])


def _part(work: BulkImport, number: int, part: int, first: int, data: bytes) -> ImportPart:
    return ImportPart(
        id=part_id(work.id, number, part),
        work=work.id,
        input=number,
        number=part,
        first_line=first,
        data=data,
        state="waiting" if data else "done",
    )


# --- Storing --------------------------------------------------------------------------------------------------------


async def _store(context: Context, store: BulkImportStore, work: BulkImport, part: ImportPart, tell: Tell) -> int:
    """Store the lines of a part, except those that are stored already; returns how many of them are stored now."""
    source = work.inputs[part.input]
    data = await apart(zlib.decompress, part.data)

    async def record(request: Request, response: Response) -> None:
        await tell(work, request, response)

    target = Transactions(context, store.record, record)
    seconds = context.services.settings.max_async_seconds
    budget = Budget(seconds, caller=f"import {work.owner}", setting="max_async_seconds")
    lines = Part(source.url, part.id, data, part.first_line)
    with working(budget):
        loading = load_into(target, lines, await store.recorded(part.id), _write(source.type, work.by_identifier))
        loaded = await counted(loading, budget)
    after = _after(part, loaded)
    await store.put_part(after)
    return sum(after.stored.values())


def _after(part: ImportPart, loaded: Loaded) -> ImportPart:
    """Return the part with what has become of it."""
    stored: Counter[str] = Counter(loaded.skipped)
    for (name, _), count in loaded.counts.items():
        stored[name] += count
    again = any(refusal.status in RETRIED for refusal in loaded.refusals)
    return replace(
        part,
        data=part.data if again else b"",
        state="again" if again else "done",
        stored=dict(stored),
        refusals=tuple(map(_outcome, loaded.refusals)),
    )


def _outcome(refusal: Refusal) -> bytes:
    """Return the OperationOutcome of a line that was refused, which names the line."""
    issues: list[dict[str, Any]] = []
    for issue in refusal.issues[:_MOST_ISSUES]:
        text = f"{refusal.place}: {issue.get('diagnostics', '')}"
        issues.append({**issue, "diagnostics": text})
    return values.encode({"resourceType": "OperationOutcome", "issue": issues})


def _write(resource_type: str, by_identifier: bool) -> Write:
    """Return what makes the entry of a line: of the input's type, under its id or its identifier."""

    def write(resource: Any) -> Entry:
        entry = write_by_id(resource)
        name = entry["resource"]["resourceType"]
        if resource_type and name != resource_type:
            raise BadRequest(f"The input is of {resource_type}, the line of {name}.", expression="resourceType")
        return _under_identifier(name, entry) if by_identifier else entry

    return write


def _under_identifier(name: str, entry: Entry) -> Entry:
    resource: dict[str, Any] = entry["resource"]
    identifiers = resource.get("identifier")
    for identifier in identifiers if isinstance(identifiers, list) else [identifiers]:
        if isinstance(identifier, dict) and identifier.get("system") and identifier.get("value"):
            token = "|".join(_escaped(str(identifier[part])) for part in ("system", "value"))
            unnamed = {key: value for key, value in resource.items() if key != "id"}
            return {"resource": unnamed, "request": {"method": "PUT", "url": f"{name}?identifier={token}"}}
    raise BadRequest(f"The {name} has no identifier with a system and a value.", expression=f"{name}.identifier")


def _escaped(text: str) -> str:
    """Return a text as it stands in a search parameter's value, in a URL."""
    for character in "\\$,|":
        text = text.replace(character, f"\\{character}")
    return quote(text, safe="")
