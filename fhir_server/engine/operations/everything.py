"""$everything: the record of a patient, of all patients that the caller sees, or of an encounter, with whatever these
refer to.

The matches are the resources in the compartment; of what these refer to, each page carries its own part.
https://hl7.org/fhir/R4/patient-operation-everything.html
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlencode

import msgspec

from fhir_server.engine.context import Context, Request, Response, instant, now
from fhir_server.engine.disclosure import note_resource
from fhir_server.engine.interactions.read import read
from fhir_server.engine.operations.inputs import Inputs
from fhir_server.engine.operations.record import record
from fhir_server.engine.routes import Route
from fhir_server.engine.search import page_token
from fhir_server.engine.versions import new_id
from fhir_server.errors import BadRequest, Forbidden, Issue, operation_outcome
from fhir_server.r4 import values
from fhir_server.r4.definitions import RESOURCE_TYPES, compartment
from fhir_server.r4.references import local
from fhir_server.search.planner.query import compile_query
from fhir_server.search.query.ast import Criterion, Query
from fhir_server.search.query.conditions import Condition
from fhir_server.store.search.pages import Cursor, Snapshot
from fhir_server.store.search.search import Page, Row
from fhir_server.work.threads import breathe

_NAMES = ("start", "end", "_since", "_type", "_count")


async def everything(context: Context, request: Request, route: Route, inputs: Inputs) -> Response:
    """Answer with a searchset of the record of the resource in the URL, or of all of its type that the caller sees.

    Raises NotFound, Gone, Forbidden or BadRequest.
    """
    kind, resource_id = route.type or "", route.id
    if resource_id is None:
        context.access.require("search-type", kind)
    else:
        await read(context, Request("GET", f"{kind}/{resource_id}"), kind, resource_id)
    types = _types(context, inputs)
    stored = types & {kind, *compartment(kind)} & set(await context.services.search.types())
    conditions = record(context, kind, resource_id, inputs, sorted(stored))
    parameters = _parameters(inputs)
    page = await _page(context, request, parameters, conditions, _limit(context, inputs.one("_count")))
    # What belongs into the compartment but is not in this one is part of another record.
    included, cut = await _included(context, page, types - {kind, *compartment(kind)})
    for row in (*page.rows, *included):
        note_resource(context.base_url, row.type, row.id, row.json)
    bundle = _bundle(context, request, parameters, page, included, cut=cut)
    return Response(200, values.encode(bundle))


def _types(context: Context, inputs: Inputs) -> frozenset[str]:
    """Return the types that are asked for and that the caller may search."""
    names = {name.strip() for text in inputs.all("_type") for name in text.split(",")}
    unknown = sorted(names - RESOURCE_TYPES)
    if unknown:
        raise BadRequest(f"The parameter _type names {unknown[0][:80]!r}, which is not a resource type.", code="value")
    return frozenset(name for name in names or RESOURCE_TYPES if _may_search(context, name))


def _may_search(context: Context, resource_type: str) -> bool:
    try:
        context.access.require("search-type", resource_type)
    except Forbidden:
        return False
    return True


def _limit(context: Context, count: int | None) -> int:
    settings = context.services.settings
    if count is None:
        return settings.max_everything
    if count < 1:
        raise BadRequest(f"The parameter _count is at least 1, not {count}.", code="value")
    return min(count, settings.max_everything)


def _parameters(inputs: Inputs) -> list[list[str]]:
    """Return the parameters by name and value, in an order of their own: the links repeat them."""
    return [[name, str(value)] for name in _NAMES for value in inputs.all(name)]


def _cursor(context: Context, request: Request, parameters: list[list[str]]) -> Cursor | None:
    """Return where the paging link of the request leads to; raises BadRequest for a link of anything else."""
    tokens = [value for name, value in request.query if name == "_page"]
    if not tokens:
        return None
    if len(tokens) > 1:
        raise BadRequest("_page appears twice.")
    match page_token.unseal(context.services.signing_key, tokens[0]):
        case ["everything", path, pairs, [*cursor]]:
            if (path, pairs) != (request.path, parameters):
                raise BadRequest("The paging link belongs to another record, or to other parameters.")
            return cursor
    raise BadRequest("The paging link is not one that leads into a record.")


async def _page(
    context: Context, request: Request, parameters: list[list[str]], conditions: dict[str, Condition], limit: int
) -> Page:
    cursor = _cursor(context, request, parameters)
    if not conditions:
        return Page([], None)
    query = Query(types=tuple(conditions), criteria=(Criterion("", "", conditions),))
    plan = compile_query(query, access=context.access.visible)
    room = context.services.settings.max_page_bytes
    return await context.services.search.page(plan, limit=limit, cursor=cursor, room=room, session=context.session)


# --- What the record refers to -----------------------------------------------------------------------------------


async def _included(context: Context, page: Page, types: frozenset[str]) -> tuple[list[Row], bool]:
    """Return what the rows refer to, and what that refers to in turn; and whether there was too much of it."""
    rows = page.rows
    limit, room = context.services.settings.max_includes, context.services.settings.max_page_bytes
    seen: set[tuple[str, str]] = set()
    included: list[Row] = []
    while rows:
        named: set[tuple[str, str]] = set()
        for row in rows:
            await breathe()
            named.update(each for each in _references(context, row) if each[0] in types)
        places = sorted(named - seen)
        seen.update(places)
        most = limit - len(included)
        rows, cut = await _fetch(context, places[:most], page.at, room)
        included += rows
        room -= sum(row.size for row in rows)
        if cut or len(places) > most:
            return included, True
    return included, False


async def _fetch(
    context: Context, places: Iterable[tuple[str, str]], at: Snapshot, room: int
) -> tuple[list[Row], bool]:
    """Return those of the resources that the caller sees and `room` has bytes for; and whether that left any out."""
    search = context.services.search
    ids: defaultdict[str, list[str]] = defaultdict(list)
    for resource_type, resource_id in places:
        ids[resource_type].append(resource_id)
    rows: list[Row] = []
    for name, some in ids.items():
        rows += await search.by_ids(name, some, context.access.visible(name), len(some), at)
    fitting = await search.contents.fitting(rows, room)
    return await search.read(fitting, at, context.session), len(fitting) < len(rows)


def _references(context: Context, row: Row) -> Iterator[tuple[str, str]]:
    for text in _links(values.decode(row.json)):
        named = local(text, context.base_url)
        if named is not None:
            yield named.type, named.id


def _links(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for item in node:
            yield from _links(item)
    elif isinstance(node, dict):
        for name, value in node.items():
            if not isinstance(value, str):
                yield from _links(value)
            elif name == "reference" or (name == "url" and "Binary/" in value):
                yield value


# --- The bundle --------------------------------------------------------------------------------------------------


def _bundle(
    context: Context, request: Request, parameters: list[list[str]], page: Page, included: list[Row], *, cut: bool
) -> dict[str, Any]:
    pairs = [(name, value) for name, value in parameters]
    links = [{"relation": "self", "url": _url(context, request, pairs)}]
    if page.next is not None:
        token = page_token.seal(context.services.signing_key, ["everything", request.path, parameters, page.next])
        links.append({"relation": "next", "url": _url(context, request, [*pairs, ("_page", token)])})
    entries = [_entry(context, row, "match") for row in page.rows]
    entries += [_entry(context, row, "include") for row in included]
    if cut:
        text = "The resources on this page refer to more others than can stand on one; ask for fewer by _count."
        issue = Issue("too-costly", text, (), "warning")
        entries.append({"resource": operation_outcome([issue]), "search": {"mode": "outcome"}})
    return {
        "resourceType": "Bundle",
        "id": new_id(),
        "meta": {"lastUpdated": instant(now())},
        "type": "searchset",
        "link": links,
        **({"entry": entries} if entries else {}),
    }


def _entry(context: Context, row: Row, mode: str) -> dict[str, Any]:
    url = f"{context.base_url}/{row.type}/{row.id}"
    return {"fullUrl": url, "resource": msgspec.Raw(row.json), "search": {"mode": mode}}


def _url(context: Context, request: Request, pairs: list[tuple[str, str]]) -> str:
    return f"{context.base_url}/{request.path}" + (f"?{urlencode(pairs)}" if pairs else "")
