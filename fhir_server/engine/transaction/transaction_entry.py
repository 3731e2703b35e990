"""An entry of a transaction on its way: what it asks, and which resources it turns out to be about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from fhir_server.engine import versions
from fhir_server.engine.context import Context, Request
from fhir_server.engine.interactions.conditional import condition_key, criteria, find_all, find_each
from fhir_server.engine.interactions.delete import matches
from fhir_server.engine.interactions.preconditions import require_match
from fhir_server.engine.interactions.update import require_same_id
from fhir_server.engine.places import Placing
from fhir_server.engine.query_parameters import require_known
from fhir_server.engine.requests import deletes_many, query_text
from fhir_server.engine.routes import Route, route_of
from fhir_server.engine.transaction.entries import entry_request
from fhir_server.errors import BadRequest, PreconditionFailed
from fhir_server.search.query.ast import Query
from fhir_server.store.resources.resources import Version
from fhir_server.work.threads import breathe

WRITES = frozenset(
    {"create", "update", "patch", "delete", "conditional-update", "conditional-patch", "conditional-delete"}
)
WITH_RESOURCE = frozenset({"create", "update", "conditional-update"})


@dataclass(slots=True)
class Entry:
    """An entry; what `identify` finds out is missing before it."""

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
    """The key under which alone the resource may be created."""
    criteria: Query | None = None
    """What a conditional create or update asks for."""
    new: bool = False
    """Whether a conditional update found nothing, so that its id must be one that no resource has."""

    @property
    def place(self) -> str:
        """FHIRPath of the entry."""
        return f"Bundle.entry[{self.position}]"

    @property
    def writes(self) -> bool:
        """Whether the interaction is one that changes something."""
        return self.route.interaction in WRITES

    @property
    def written_ids(self) -> tuple[str, ...]:
        """The ids of the resources that the entry writes."""
        return self.ids if self.route.interaction == "conditional-delete" else (self.id or "",)


def parse(context: Context, entry: dict[str, Any], position: int) -> Entry:
    """Return the entry with its request understood and allowed; raises what is wrong with it, and Forbidden."""
    request = entry_request(context, entry, position)
    with Placing(f"Bundle.entry[{position}]"):
        route = route_of(request.method, request.path)
        context.access.require(route.interaction, route.type)
        require_known(request, route)
    full_url = entry.get("fullUrl")
    new_id = versions.new_id() if route.interaction == "create" else route.id
    return Entry(position, full_url if isinstance(full_url, str) else None, request, route, new_id)


async def identify(context: Context, entries: Sequence[Entry]) -> None:
    """Find out which resources conditional entries are about; raises PreconditionFailed where that is not one.

    What creates and updates ask for is looked up together; patches and deletions are few, and looked up one by one.
    """
    asking: list[tuple[Entry, Query]] = []
    for entry in entries:
        await breathe()
        with Placing(entry.place):
            text = _stored_unless_found(entry)
            if text is None:
                await _identify_changed(context, entry)
            else:
                entry.criteria = await criteria(context, entry.route.type or "", text, entry.request.resource)
                asking.append((entry, entry.criteria))
    ids_of_queries = await find_each(context, [query for _, query in asking])
    for (entry, query), each in zip(asking, ids_of_queries, strict=True):
        with Placing(entry.place):
            _identify_stored(context, entry, query, each.one)
    await _free_conditions(context, entries)


def _stored_unless_found(entry: Entry) -> str | None:
    """Return the criteria of a conditional create or update; None for any other entry."""
    match entry.route.interaction:
        case "create":
            return entry.request.if_none_exist
        case "conditional-update":
            return query_text(entry.request)
    return None


async def _identify_changed(context: Context, entry: Entry) -> None:
    resource_type, query = entry.route.type or "", query_text(entry.request)
    match entry.route.interaction:
        case "conditional-patch":
            ids = await find_all(context, await criteria(context, resource_type, query), 2)
            if len(ids) != 1:
                raise PreconditionFailed(
                    f"{resource_type}?{query} finds {'several' if ids else 'no'} resources to patch."
                )
            entry.id = ids[0]
        case "conditional-delete":
            entry.ids = tuple(await matches(context, resource_type, query, many=deletes_many(entry.request)))


def _identify_stored(context: Context, entry: Entry, query: Query, existing: Version | None) -> None:
    resource = entry.request.resource
    if entry.route.interaction == "create":
        entry.existing = existing
        entry.id = existing.id if existing else entry.id
        entry.condition = None if existing else condition_key(context, entry.route.type or "", query)
    elif existing is not None:
        if "id" in resource:
            require_same_id(resource, existing.id, entry.request.path)
        entry.id = existing.id
    elif "id" in resource:
        entry.id, entry.new = resource["id"], True
    else:
        require_match(entry.request, None)
        entry.id = versions.new_id()
        entry.condition = condition_key(context, entry.route.type or "", query)


async def _free_conditions(context: Context, entries: Iterable[Entry]) -> None:
    """Take the keys of the criteria from holders that no longer meet them."""
    keys: dict[str, list[str]] = {}
    for entry in entries:
        if entry.condition is not None:
            keys.setdefault(entry.route.type or "", []).append(entry.condition)
    for resource_type, some in keys.items():
        await context.services.resources.release_conditions(resource_type, some, session=context.session)


def require_unique_full_urls(entries: list[Entry]) -> None:
    """Raise BadRequest where two entries go by one fullUrl: a reference to it would have no meaning."""
    seen: set[str] = set()
    for entry in entries:
        if entry.full_url is None:
            continue
        if entry.full_url in seen:
            raise BadRequest(
                f"The fullUrl {entry.full_url[:200]!r} appears twice.", expression=f"{entry.place}.fullUrl"
            )
        seen.add(entry.full_url)


def require_distinct(entries: list[Entry]) -> None:
    """Raise BadRequest where two entries are about one resource, unless both only found it by If-None-Exist.

    https://hl7.org/fhir/R4/http.html#trules: identities that overlap, conditional ones included, fail the transaction.
    """
    written: set[tuple[str | None, str]] = set()
    for entry in entries:
        if entry.writes and entry.existing is None:
            named = [(entry.route.type, resource_id) for resource_id in entry.written_ids]
            named += [("", entry.condition)] if entry.condition else []
            _require_none_of(named, written, entry)
            written.update(named)
    for entry in entries:
        if entry.existing is not None:
            _require_none_of([(entry.route.type, entry.existing.id)], written, entry)


def _require_none_of(named: list[tuple[str | None, str]], written: set[tuple[str | None, str]], entry: Entry) -> None:
    for resource_type, name in named:
        if (resource_type, name) in written:
            what = f"{resource_type}/{name}" if resource_type else f"The {entry.route.type} of one condition"
            raise BadRequest(
                f"{what} is written by two entries of the transaction.", expression=entry.place, code="duplicate"
            )
