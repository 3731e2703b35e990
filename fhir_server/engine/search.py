"""The search interaction on a type, on the system or in a compartment. https://hl7.org/fhir/R4/http.html#search"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fhir_server.engine import searchset
from fhir_server.engine.context import Context, Request, Response
from fhir_server.engine.includes import included
from fhir_server.engine.routes import Route
from fhir_server.engine.search_links import Place, followed, link
from fhir_server.errors import BadRequest
from fhir_server.r4 import values
from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.search.ast import Query
from fhir_server.search.compartments import compartment_types, in_compartment
from fhir_server.search.parse import parse
from fhir_server.search.query import Plan, compile_query
from fhir_server.search.url import to_url
from fhir_server.store.search import Page, Row
from fhir_server.store.search_pages import Cursor, beginning


async def search(context: Context, request: Request, route: Route) -> Response:
    """Answer with a searchset Bundle; raises BadRequest for what cannot be understood."""
    token = next((value for name, value in request.query if name == "_page"), None)
    place = await followed(context, token) if token is not None else await _start(context, request, route)
    query = _query(context, route, place)
    plan = compile_query(query, access=context.access.visible)
    found = _Found(context, query, plan, _limit(context, query))
    counting = query.summary == "count" or found.limit == 0
    page, beside, more = (Page([], None), [], False) if counting else await found.page(place)
    total = await found.total(place, page, counting=counting)
    path = request.path.removesuffix("/_search").removesuffix("_search")
    links = [{"relation": "self", "url": _self(context, path, query, route, place)}]
    links += await _links(
        context, path, replace(place, total=total if query.total is not None else None), page, found, more
    )
    entries = searchset.entries(context.base_url, query, page.rows if place.includes == 0 else [], "match")
    entries += searchset.entries(context.base_url, query, beside, "include")
    return Response(200, values.encode(searchset.bundle(links, entries + searchset.outcome(query), total)))


# --- What is asked -----------------------------------------------------------------------------------------------


async def _start(context: Context, request: Request, route: Route) -> Place:
    """Return the first page of the search that a request asks for."""
    pairs = request.query
    if route.type is not None and route.type != "*":
        return Place(pairs, [route.type])
    named = [name for key, value in pairs if key == "_type" for name in value.split(",")]
    unknown = [name for name in named if name not in RESOURCE_TYPES]
    if unknown:
        raise BadRequest(f"_type: {unknown[0][:80]!r} is not a resource type of FHIR R4.", code="value")
    types = sorted(set(named)) if named else await context.services.search.types()
    if route.compartment is not None:
        types = [name for name in types if name in compartment_types(route.compartment)]
    return Place([pair for pair in pairs if pair[0] != "_type"], types)


def _query(context: Context, route: Route, place: Place) -> Query:
    settings = context.services.settings
    query = parse(
        place.types,
        place.pairs,
        strict=context.handling == "strict",
        timezone=settings.default_timezone,
        base_url=context.base_url,
    )
    if route.compartment is None or route.id is None:
        return query
    within = {name: in_compartment(route.compartment, route.id, name) for name in place.types}
    return replace(query, within=within)


def _limit(context: Context, query: Query) -> int:
    settings = context.services.settings
    return min(settings.default_page_size if query.count is None else query.count, settings.max_page_size)


# --- What is found -----------------------------------------------------------------------------------------------


class _Found:
    """A search on its way to results."""

    def __init__(self, context: Context, query: Query, plan: Plan, limit: int) -> None:
        self.context = context
        self.query = query
        self.plan = plan
        self.limit = limit
        self.store = context.services.search

    async def page(self, place: Place) -> tuple[Page, list[Row], bool]:
        """Return the page at a place, what is included with it, and whether more is to be included than one page
        shows.
        """
        page = await self.store.page(
            self.plan,
            limit=self.limit,
            cursor=await self._cursor(place),
            keys=bool(self.query.includes),
            session=self.context.session,
        )
        if not self.query.includes or not page.rows:
            return page, [], False
        most = self.context.services.settings.max_includes
        wanted = place.includes + most
        rows = await included(self.context, self.query.includes, page.rows, wanted + 1, page.at)
        return page, rows[place.includes : wanted], len(rows) > wanted

    async def _cursor(self, place: Place) -> Cursor | None:
        if place.cursor is not None or place.number == 1:
            return place.cursor if place.at is None else place.cursor or beginning(place.at)
        return await self.store.cursor_after(self.plan, self.limit * (place.number - 1), place.at)

    async def total(self, place: Place, page: Page, *, counting: bool) -> int | None:
        """Return the number of all matches where it was asked for, or is known anyway."""
        if place.total is not None:
            return place.total
        if counting or self.query.total in {"accurate", "estimate"}:
            return await self.store.count(self.plan, session=self.context.session)
        known = page.next is None and place.number == 1 and self.query.total is None
        return len(page.rows) if known else None


# --- Links -------------------------------------------------------------------------------------------------------


def _self(context: Context, path: str, query: Query, route: Route, place: Place) -> str:
    text = to_url(query)
    if route.type is None or route.type == "*":
        text = "&".join(part for part in (f"_type={','.join(place.types)}" if place.types else "", text) if part)
    url = f"{context.base_url}/{path}".rstrip("/")
    return f"{url}?{text}" if text else url


async def _links(  # noqa: PLR0917 - a page and what is around it
    context: Context, path: str, place: Place, page: Page, found: _Found, more: bool
) -> Sequence[dict[str, str]]:
    links = []
    if more:
        beside = place.includes + context.services.settings.max_includes
        links.append(await link(context, path, "next", replace(place, at=page.at, includes=beside)))
    elif page.next is not None:
        after = replace(place, number=place.number + 1, cursor=page.next, at=page.at, includes=0)
        links.append(await link(context, path, "next", after))
    if place.number > 1:
        before = replace(place, number=place.number - 1, cursor=None, at=page.at or place.at, includes=0)
        links.append(await link(context, path, "previous", before))
        links.append(await link(context, path, "first", replace(before, number=1)))
    return links
