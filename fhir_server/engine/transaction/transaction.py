"""The transaction interaction: all entries take effect together, or none. https://hl7.org/fhir/R4/http.html#trules

What needs no database comes first: requests, validation and new ids. The rest is an attempt inside a MongoDB
transaction, which may be run again: conditions are resolved, references rewritten, then DELETE, POST, PUT and PATCH are
planned by the same code as direct interactions and stored in bulk, and GETs see the outcome.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from fhir_server.engine import versions, writes
from fhir_server.engine.account_status import end_access
from fhir_server.engine.contention import contention
from fhir_server.engine.context import Context, Response
from fhir_server.engine.interactions.conditional import warnings
from fhir_server.engine.interactions.create import create_as
from fhir_server.engine.interactions.delete import delete
from fhir_server.engine.interactions.patch import check as check_patch
from fhir_server.engine.interactions.patch import patch
from fhir_server.engine.interactions.update import put, require_same_id
from fhir_server.engine.panels import note_written
from fhir_server.engine.places import Placing
from fhir_server.engine.profiles.gate import Nonconforming
from fhir_server.engine.referential_integrity import require_unused
from fhir_server.engine.transaction import linking
from fhir_server.engine.transaction.entries import SECONDS_AN_ENTRY, response_entry, wants_resource
from fhir_server.engine.transaction.transaction_entry import (
    WITH_RESOURCE,
    Entry,
    identify,
    parse,
    require_distinct,
    require_unique_full_urls,
)
from fhir_server.errors import Issue, Unprocessable
from fhir_server.store.database.transactions import RolledBack
from fhir_server.store.resources.resources import AlreadyExists
from fhir_server.work.budget import current
from fhir_server.work.threads import breathe, sized

_REPLACING = ("update", "patch", "delete")
_ATTEMPTS = 30
_COLLECTED = 2 * 1024 * 1024
"""Bytes of resources that are stored together; until then they take, with their index, some four times as much."""
_ORDER = {"DELETE": 0, "POST": 1, "PUT": 2, "PATCH": 2, "GET": 3, "HEAD": 3}


async def transaction(context: Context, entries: list[dict[str, Any]], size: int) -> list[dict[str, Any]]:
    """Carry out the entries as one; returns the response entries in the order of the request.

    Raises the FhirError of the entry that fails, or Unprocessable with the faults of all resources; nothing has changed
    then.
    """
    parsed = await sized(size, _parsed, context, entries)
    await _require_room(context, parsed)
    types = {entry.route.type for entry in parsed if entry.route.type and entry.writes}
    last = _Attempt(context, parsed)

    async def attempt(session: Any) -> tuple[list[dict[str, Any]], list[str]]:
        if last.begun and (budget := current()) is not None:
            budget.extend(SECONDS_AN_ENTRY * len(parsed))  # that others made it run again is not the caller's doing
        last.begun = True
        last.context = inside = replace(context, session=session, pending=[], read_ahead={}, retired=[])
        last.entries = [replace(entry) for entry in parsed]
        return await _attempt(inside, last.entries), inside.retired

    refused: AlreadyExists | RolledBack | None = None
    for _ in range(_ATTEMPTS):
        try:
            responses, retired = await context.services.database.transaction(attempt, types)
        except AlreadyExists as error:
            # Somebody made one of these since it was looked for; the next attempt finds it.
            refused = error
            await asyncio.sleep(random.uniform(0, 0.05))  # noqa: S311 - not a secret
        except RolledBack as error:
            refused = error
            break
        else:
            note_written(types)
            await end_access(context.services, retired)
            return responses
    assert refused is not None
    raise await contention(last.context, last.entries, refused) from refused


@dataclass(slots=True)
class _Attempt:
    """The latest attempt, as far as it came."""

    context: Context
    entries: list[Entry]
    begun: bool = False


async def _require_room(context: Context, entries: list[Entry]) -> None:
    """Raise TooLarge where the database cannot hold all that the entries write until it is committed."""
    largest = context.services.settings.blob_threshold_bytes
    sizes = [entry.request.size for entry in entries if entry.request.resource is not None]
    # What is larger is stored beside the transaction.
    await context.services.database.room.require(sum(size for size in sizes if size <= largest), len(sizes))


def _parsed(context: Context, entries: list[dict[str, Any]]) -> list[Entry]:
    """Return the entries as requests, all of them valid; raises what is wrong with them."""
    parsed = [parse(context, entry, position) for position, entry in enumerate(entries)]
    require_unique_full_urls(parsed)
    _validate(context, parsed)
    return parsed


def _validate(context: Context, entries: list[Entry]) -> None:
    issues: list[Issue] = []
    for entry in entries:
        try:
            with Placing(entry.place):
                _check(context, entry)
        except Unprocessable as error:
            issues += error.issues
    if issues:
        raise Unprocessable(issues=issues)


def _check(context: Context, entry: Entry) -> None:
    if entry.route.interaction in WITH_RESOURCE:
        resource = versions.check(context, entry.request, entry.route.type or "")
        if entry.route.interaction == "update":
            versions.require_id(entry.route.id or "")
            require_same_id(resource, entry.route.id or "", entry.request.path)
    elif entry.request.method == "PATCH":
        check_patch(context, entry.request)


async def _attempt(context: Context, entries: list[Entry]) -> list[dict[str, Any]]:
    await identify(context, entries)
    require_distinct(entries)
    await linking.link(context, entries)
    await _read_ahead(context, entries)
    ordered = sorted(entries, key=lambda entry: _ORDER[entry.request.method])
    responses = await _written(context, ordered)
    for entry in ordered:
        if entry.request.method == "DELETE":
            with Placing(entry.place):
                await require_unused(context, entry.route.type or "", entry.written_ids)
    for entry in ordered:
        await breathe()
        if not entry.writes:
            with Placing(entry.place):
                responses[entry.position] = await _other(context, entry)
    return await _answered(context, entries, responses)


async def _written(context: Context, entries: Iterable[Entry]) -> dict[int, Response]:
    """Store what the entries write, and return the response of each of those by its position.

    Raises Unprocessable with all that the resources break of their profiles.
    """
    responses: dict[int, Response] = {}
    nonconforming: list[Issue] = []
    collected = 0
    for entry in entries:
        await breathe()
        if not entry.writes:
            continue
        try:
            with Placing(entry.place):
                response = await _audited_response(context, entry, await _write(context, entry))
        except Nonconforming as error:
            nonconforming += error.issues
            continue
        collected += len(response.json or b"")
        shown = wants_resource(context, entry.request)
        responses[entry.position] = response if shown else replace(response, json=None)
        if collected > _COLLECTED:
            await writes.flush_early(context)
            collected = 0
    if nonconforming:
        raise Unprocessable(issues=nonconforming)
    await writes.flush(context)
    return responses


async def _answered(context: Context, entries: list[Entry], responses: dict[int, Response]) -> list[dict[str, Any]]:
    answers = []
    for entry in entries:
        await breathe()
        answers.append(response_entry(context, entry.request, entry.route, responses[entry.position]))
    return answers


async def _read_ahead(context: Context, entries: Iterable[Entry]) -> None:
    """Read the current versions that the entries replace, in one query a type."""
    ids_by_type: dict[str, set[str]] = {}
    for entry in entries:
        if entry.writes and entry.route.interaction != "create":
            ids_by_type.setdefault(entry.route.type or "", set()).update(entry.written_ids)
    for resource_type, ids in ids_by_type.items():
        if not ids or any(context.access.visible(resource_type, name) is not None for name in _REPLACING):
            continue
        versions_by_id = await context.services.resources.read_many(resource_type, list(ids), session=context.session)
        context.read_ahead.update(
            {(resource_type, resource_id): versions_by_id.get(resource_id) for resource_id in ids}
        )


async def _audited_response(context: Context, entry: Entry, response: Response) -> Response:
    """Return the response with what its caller should know: that a resource does not meet its own criteria."""
    if entry.criteria is None or entry.existing is not None or entry.condition is not None:
        return response  # what is created under a condition has been looked at
    request = entry.request
    unmet = await warnings(context, entry.criteria, request.resource, request.size)
    return replace(response, warnings=tuple(dict.fromkeys((*response.warnings, *unmet))))


async def _write(context: Context, entry: Entry) -> Response:
    request, resource_type, resource_id = entry.request, entry.route.type or "", entry.id or ""
    condition, criteria = entry.condition, entry.criteria
    if entry.existing is not None:
        return versions.answer(200, entry.existing)
    match entry.route.interaction:
        case "create":
            return await create_as(
                context, request.resource, resource_id, "POST", entry.condition, criteria=entry.criteria
            )
        case "conditional-update" if condition is not None:
            return await create_as(context, request.resource, resource_id, "PUT", condition, criteria=criteria)
        case "update" | "conditional-update":
            return await put(context, request, request.resource, resource_id, new=entry.new)
        case "patch" | "conditional-patch":
            return await patch(context, request, resource_type, resource_id)
        case "delete":
            return await delete(context, request, resource_type, resource_id)
    for each in entry.ids:
        await delete(context, request, resource_type, each)
    return Response(204)


async def _other(context: Context, entry: Entry) -> Response:
    assert context.dispatch is not None
    return await context.dispatch(replace(context, pending=None), entry.request)
