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
from fhir_server.engine.conditional import condition_key, criteria, find_all, find_one
from fhir_server.engine.conditional_references import resolve
from fhir_server.engine.context import Context, Request, Response
from fhir_server.engine.create import create_as
from fhir_server.engine.delete import delete, matches
from fhir_server.engine.entries import entry_request, response_entry
from fhir_server.engine.patch import patch
from fhir_server.engine.references import Rewriter, place_of
from fhir_server.engine.requests import deletes_many, query_text
from fhir_server.engine.routes import Route, route
from fhir_server.engine.update import put, require_same_id
from fhir_server.errors import BadRequest, Conflict, FhirError, Issue, PreconditionFailed, Unprocessable
from fhir_server.store.resources import AlreadyExists, Version

_WRITES = frozenset(
    {"create", "update", "patch", "delete", "conditional-update", "conditional-patch", "conditional-delete"}
)
_REPLACING = ("update", "patch", "delete")
_WITH_RESOURCE = frozenset({"create", "update", "conditional-update"})
_ATTEMPTS = 30
_ORDER = {"DELETE": 0, "POST": 1, "PUT": 2, "PATCH": 2, "GET": 3, "HEAD": 3}


@dataclass(slots=True)
class Entry:
    """An entry on its way: what it asks, and which resources it turns out to be about."""

    position: int
    full_url: str | None
    request: Request
    route: Route
    id: str | None = None
    """The id that is written; assigned for a create, found for a conditional interaction."""
    ids: tuple[str, ...] = ()
    """The ids that a conditional delete removes."""
    existing: Version | None = None
    """What If-None-Exist found."""
    condition: str | None = None

    @property
    def place(self) -> str:
        """FHIRPath of the entry."""
        return f"Bundle.entry[{self.position}]"

    @property
    def written_ids(self) -> tuple[str, ...]:
        """The ids of the resources that the entry writes."""
        return self.ids if self.route.interaction == "conditional-delete" else (self.id or "",)


async def transaction(context: Context, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Carry out the entries as one; returns the response entries in the order of the request.

    Raises the FhirError of the entry that fails, or Unprocessable with the faults of all resources; nothing has changed
    then.
    """
    parsed = [_parse(context, entry, position) for position, entry in enumerate(entries)]
    _require_unique_full_urls(parsed)
    _validate(context, parsed)
    types = {entry.route.type for entry in parsed if entry.route.type and entry.route.interaction in _WRITES}

    async def attempt(session: Any) -> list[dict[str, Any]]:
        inside = replace(context, session=session, pending=[], known={})
        return await _attempt(inside, [replace(entry) for entry in parsed])

    for _ in range(_ATTEMPTS):
        try:
            return await context.services.database.transaction(attempt, types)
        except AlreadyExists:
            # Somebody made one of these since it was looked for; the next attempt finds it.
            await asyncio.sleep(random.uniform(0, 0.05))  # noqa: S311 - not a secret
    raise Conflict("Others keep making the same resources; try again.")


def _parse(context: Context, entry: dict[str, Any], position: int) -> Entry:
    request = entry_request(context, entry, position)
    with _placing(f"Bundle.entry[{position}]"):
        found = route(request.method, request.path)
        context.access.require(found.interaction, found.type)
    full_url = entry.get("fullUrl")
    new_id = versions.new_id() if found.interaction == "create" else found.id
    return Entry(position, full_url if isinstance(full_url, str) else None, request, found, new_id)


class _placing:
    """Add the entry's place to the issues of an error that has none."""

    def __init__(self, place: str) -> None:
        self.place = place

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, FhirError):
            error.issues = tuple(_placed(issue, self.place) for issue in error.issues)


def _placed(issue: Issue, place: str) -> Issue:
    if any(path.startswith("Bundle") for path in issue.expression):
        return issue
    return Issue(issue.code, issue.diagnostics, (place,), issue.severity)


def _require_unique_full_urls(entries: list[Entry]) -> None:
    seen: set[str] = set()
    for entry in entries:
        if entry.full_url is None:
            continue
        if entry.full_url in seen:
            raise BadRequest(f"The fullUrl {entry.full_url[:200]!r} stands twice.", expression=f"{entry.place}.fullUrl")
        seen.add(entry.full_url)


def _validate(context: Context, entries: list[Entry]) -> None:
    issues: list[Issue] = []
    for entry in entries:
        if entry.route.interaction not in _WITH_RESOURCE:
            continue
        try:
            resource = versions.check(context, entry.request, entry.route.type or "")
            with _placing(entry.place):
                if entry.route.interaction == "update":
                    versions.require_id(entry.route.id or "")
                    require_same_id(resource, entry.route.id or "", entry.request.path)
        except Unprocessable as error:
            issues += error.issues
        except FhirError as error:
            error.issues = tuple(_placed(issue, entry.place) for issue in error.issues)
            raise
    if issues:
        raise Unprocessable(issues=issues)


async def _attempt(context: Context, entries: list[Entry]) -> list[dict[str, Any]]:
    for entry in entries:
        with _placing(entry.place):
            await _resolve(context, entry)
    _require_distinct(entries)
    await _rewrite_references(context, entries)
    await _read_ahead(context, entries)
    responses: dict[int, Response] = {}
    ordered = sorted(entries, key=lambda entry: _ORDER[entry.request.method])
    for entry in ordered:
        if entry.route.interaction in _WRITES:
            with _placing(entry.place):
                responses[entry.position] = await _write(context, entry)
    await writes.flush(context)
    for entry in ordered:
        if entry.route.interaction not in _WRITES:
            with _placing(entry.place):
                responses[entry.position] = await _other(context, entry)
    return [response_entry(context, entry.request, entry.route, responses[entry.position]) for entry in entries]


async def _resolve(context: Context, entry: Entry) -> None:
    """Find out which resource a conditional entry is about."""
    resource_type, query = entry.route.type or "", query_text(entry.request)
    match entry.route.interaction:
        case "create" if entry.request.if_none_exist is not None:
            found = criteria(context, resource_type, entry.request.if_none_exist)
            entry.existing = await find_one(context, found)
            entry.condition = None if entry.existing else await _free_condition(context, resource_type, found)
            entry.id = entry.existing.id if entry.existing else entry.id
        case "conditional-update":
            found = criteria(context, resource_type, query)
            await _resolve_update(context, entry, found)
        case "conditional-patch":
            ids = await find_all(context, criteria(context, resource_type, query), 2)
            if len(ids) != 1:
                raise PreconditionFailed(
                    f"{resource_type}?{query} finds {'several' if ids else 'no'} resources to patch."
                )
            entry.id = ids[0]
        case "conditional-delete":
            entry.ids = tuple(await matches(context, resource_type, query, many=deletes_many(entry.request)))


async def _resolve_update(context: Context, entry: Entry, found: Any) -> None:
    resource = entry.request.resource
    existing = await find_one(context, found)
    if existing is not None:
        if "id" in resource:
            require_same_id(resource, existing.id, entry.request.path)
        entry.id = existing.id
    elif "id" in resource:
        entry.id = resource["id"]
    else:
        entry.id = versions.new_id()
        entry.condition = await _free_condition(context, entry.route.type or "", found)


async def _free_condition(context: Context, resource_type: str, found: Any) -> str:
    """Return the criteria's key, taken from a holder that no longer meets them."""
    key = condition_key(context, resource_type, found)
    await context.services.resources.release_condition(resource_type, key, session=context.session)
    return key


def _require_distinct(entries: list[Entry]) -> None:
    seen: set[tuple[str | None, str]] = set()
    for entry in entries:
        if entry.route.interaction not in _WRITES or entry.existing is not None:
            continue
        for resource_id in entry.written_ids:
            key = (entry.route.type, resource_id)
            if key in seen:
                raise BadRequest(
                    f"{entry.route.type}/{resource_id} is written by two entries of the transaction.",
                    expression=entry.place,
                    code="duplicate",
                )
            seen.add(key)


async def _rewrite_references(context: Context, entries: list[Entry]) -> None:
    targets = {
        entry.full_url: f"{entry.route.type}/{entry.id}"
        for entry in entries
        if entry.full_url and entry.id and entry.route.interaction in _WRITES and entry.request.method != "DELETE"
    }
    written = [entry for entry in entries if entry.route.interaction in _WITH_RESOURCE and not entry.existing]
    rewriter = Rewriter(targets)
    _rewrite(written, rewriter)
    if rewriter.left:
        _rewrite(written, Rewriter(await _resolve_left(context, entries, rewriter.left)))


def _rewrite(entries: list[Entry], rewriter: Rewriter) -> None:
    for entry in entries:
        resource = rewriter.rewrite(entry.request.resource)
        if resource is not entry.request.resource:
            entry.request = replace(entry.request, resource=resource)


async def _resolve_left(context: Context, entries: list[Entry], left: Iterable[str]) -> dict[str, str]:
    """Return what the conditional references stand for; raises BadRequest for a URN that names no entry."""
    written = {
        (entry.route.type or "", resource_id): None if entry.request.method == "DELETE" else entry.request.resource
        for entry in entries
        if entry.route.interaction in _WRITES and not entry.existing
        for resource_id in entry.written_ids
    }
    resolved: dict[str, str] = {}
    for reference in sorted(left):
        with _placing(_place_of(entries, reference)):
            if reference.startswith("urn:"):
                raise BadRequest(f"The reference {reference[:100]} names no entry of the transaction.")
            found = await resolve(context, reference, written)
        if found is not None:
            resolved[reference] = found
    return resolved


def _place_of(entries: list[Entry], reference: str) -> str:
    for entry in entries:
        below = place_of(entry.request.resource, reference)
        if below:
            return f"{entry.place}.resource{below}"
    return "Bundle"


async def _read_ahead(context: Context, entries: Iterable[Entry]) -> None:
    """Read the current versions that the entries replace, in one query a type."""
    wanted: dict[str, set[str]] = {}
    for entry in entries:
        if entry.route.interaction in _WRITES - {"create"} and not entry.existing:
            wanted.setdefault(entry.route.type or "", set()).update(entry.written_ids)
    for resource_type, ids in wanted.items():
        if not ids or any(context.access.where(resource_type, name) is not None for name in _REPLACING):
            continue
        found = await context.services.resources.read_many(resource_type, list(ids), session=context.session)
        context.known.update({(resource_type, resource_id): found.get(resource_id) for resource_id in ids})


async def _write(context: Context, entry: Entry) -> Response:
    request, resource_type, resource_id = entry.request, entry.route.type or "", entry.id or ""
    if entry.existing is not None:
        return versions.answer(200, entry.existing)
    match entry.route.interaction:
        case "create":
            return await create_as(context, request.resource, resource_id, "POST", entry.condition)
        case "conditional-update" if entry.condition is not None:
            return await create_as(context, request.resource, resource_id, "PUT", entry.condition)
        case "update" | "conditional-update":
            return await put(context, request, request.resource, resource_id)
        case "patch" | "conditional-patch":
            return await patch(context, request, resource_type, resource_id)
        case "delete":
            return await delete(context, request, resource_type, resource_id)
    for found in entry.ids:
        await delete(context, request, resource_type, found)
    return Response(204)


async def _other(context: Context, entry: Entry) -> Response:
    assert context.dispatch is not None
    return await context.dispatch(replace(context, pending=None), entry.request)
