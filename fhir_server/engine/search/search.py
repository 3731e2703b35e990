"""The search interaction on a type, on the system or in a compartment. https://hl7.org/fhir/R4/http.html#search"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from fhir_server.engine.context import Context, Request, Response
from fhir_server.engine.disclosure import note_question, note_resource
from fhir_server.engine.routes import Route
from fhir_server.engine.search import searchset, subsets
from fhir_server.engine.search.explain import explained
from fhir_server.engine.search.heft import heft
from fhir_server.engine.search.includes import included
from fhir_server.engine.search.links import Place, Shown, followed, page_links, self_url
from fhir_server.engine.search.resolve_hidden import resolve_hidden
from fhir_server.engine.search.resolve_terminology import resolve_terminology
from fhir_server.errors import BadRequest
from fhir_server.r4 import values
from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.search.planner.query import TypePlan, compile_query
from fhir_server.search.planner.scans import EVERYTHING_RANK, drives
from fhir_server.search.query.ast import Query
from fhir_server.search.query.compartments import compartment_types, in_compartment
from fhir_server.search.query.conditions import NOTHING
from fhir_server.search.query.containment import contained_matches, in_containers
from fhir_server.search.query.parse import parse
from fhir_server.store.resources.collections import collection_of
from fhir_server.store.search.choice import FEW
from fhir_server.store.search.estimate import estimate
from fhir_server.store.search.pages import Cursor, beginning
from fhir_server.store.search.search import Page, Row
from fhir_server.work.budget import spend
from fhir_server.work.threads import sized

_STEPS_A_ROW = 60
"""What a resource that is found counts for."""


async def search(context: Context, request: Request, route: Route) -> Response:
    """Answer with a searchset Bundle; raises BadRequest for what cannot be understood."""
    path = request.path.removesuffix("/_search").removesuffix("_search")
    tokens = [value for name, value in request.query if name == "_page"]
    if len(tokens) > 1:
        raise BadRequest("_page appears twice.")
    place = await followed(context, path, request.query, tokens[0]) if tokens else await _start(context, request, route)
    if tokens or request.path.endswith("_search"):
        typed = [("_type", ",".join(place.types))] if place.named else []
        note_question(request.path, [*typed, *place.pairs])
    searching = _Search(context, await _query(context, route, place), place)
    await searching.run()
    links = [{"relation": "self", "url": self_url(context, path, searching.query, route, place)}]
    links += await page_links(context, path, replace(place, total=searching.counted), searching.shown)
    return Response(200, values.encode(searchset.bundle(links, await searching.entries(), searching.total)))


# --- What is asked -----------------------------------------------------------------------------------------------


async def _start(context: Context, request: Request, route: Route) -> Place:
    """Return the first page of the search that a request asks for."""
    pairs = request.query
    if route.type is not None and route.type != "*":
        return Place(pairs, [route.type], typed=route.compartment is None)
    named = [name for key, value in pairs if key == "_type" for name in value.split(",")]
    unknown = [name for name in named if name not in RESOURCE_TYPES]
    if unknown:
        raise BadRequest(f"_type: {unknown[0][:80]!r} is not a resource type of FHIR R4.", code="value")
    for name in named:
        context.access.require("search-type", name)
    types = sorted(set(named)) if named else await _searchable(context)
    if route.compartment is not None:
        types = [name for name in types if name in compartment_types(route.compartment)]
    typed = bool(named) and route.compartment is None
    return Place([pair for pair in pairs if pair[0] != "_type"], types, named=bool(named), typed=typed)


async def _searchable(context: Context) -> list[str]:
    """Return the types of which there is anything, but those of which the caller may see nothing at all."""
    return [name for name in await context.services.search.types() if context.access.visible(name) != NOTHING]


async def _query(context: Context, route: Route, place: Place) -> Query:
    query = await sized(
        heft(place.pairs),
        parse,
        place.types,
        place.pairs,
        strict=context.handling == "strict",
        timezone=context.services.settings.default_timezone,
        base_url=context.base_url,
    )
    if route.compartment is not None and route.id is not None:
        within = {name: in_compartment(route.compartment, route.id, name) for name in place.types}
        query = replace(query, within=within)
    return await resolve_terminology(context, query)


# --- What is found -----------------------------------------------------------------------------------------------


class _Search:
    """One page of a search: what is found, what stands beside it, and how many there are."""

    def __init__(self, context: Context, query: Query, place: Place) -> None:
        self.context = context
        self.query = query
        self.place = place
        self.store = context.services.search
        settings = context.services.settings
        self.limit = min(settings.default_page_size if query.count is None else query.count, settings.max_page_size)
        self.page = Page([], None)
        self.beside: list[Row] = []
        self.more = False
        self.room = settings.max_page_bytes
        self.total: int | None = None

    async def run(self) -> None:
        """Find the page, what is included with it, and the total."""
        query = self.query
        if query.contained != "false":
            query = await resolve_hidden(self.context, in_containers(query, await self.store.types()))
        defined = await self._defined()
        visible = self.context.access.visible
        self.plan = await sized(heft(self.place.pairs), compile_query, query, access=visible, defined=defined)
        counting = query.summary == "count" or self.limit == 0
        if not counting:
            self.page = await self.store.page(
                self.plan,
                limit=self.limit,
                cursor=await self._cursor(),
                room=self.room,
                keys=bool(query.includes or query.words),
                contents=self.place.includes == 0,
                session=self.context.session,
            )
            await self._include()
            spend(_STEPS_A_ROW * (len(self.page.rows) + len(self.beside)))
            for row in (*(self.page.rows if self.place.includes == 0 else ()), *self.beside):
                note_resource(self.context.base_url, row.type, row.id, row.json)
        self.total = await self._total(counting=counting)

    async def _defined(self) -> dict[str, str]:
        """Return where there are definitions of packages to be searched; not where no type is named."""
        if not self.place.typed:
            return {}
        searched = await self.context.services.definitions.searched(self.query.types)
        return {name: collection_of(name) for name in searched}

    @property
    def counted(self) -> int | None:
        """The total that following pages need not count again."""
        return self.total

    @property
    def shown(self) -> Shown:
        """What of the search stands on the page."""
        return Shown(self.page, self.limit, len(self.beside), more=self.more)

    async def _include(self) -> None:
        """Find this page's share of what the includes add: so many, and such as have room beside the matches."""
        if self.query.includes and self.page.rows:
            first = self.place.includes
            last = first + self.context.services.settings.max_includes
            rows = await included(self.context, self.query.includes, self.page.rows, last + 1, self.page.at)
            room = self.room - (sum(row.size for row in self.page.rows) if first == 0 else 0)
            share = await self.store.contents.fitting(rows[first:last], room)
            self.more = len(rows) > first + len(share)
            self.beside = await self.store.read(share, self.page.at, self.context.session)

    async def _cursor(self) -> Cursor | None:
        place = self.place
        if place.cursor is not None or (place.number == 1 and place.at is None):
            return place.cursor
        if place.number == 1:
            return beginning(place.at)
        return await self.store.cursor_after(self.plan, place.before(self.limit), place.at)

    async def _total(self, *, counting: bool) -> int | None:
        """Return the number of all matches where it was asked for, or is known anyway."""
        if self.place.total is not None:
            return self.place.total
        total = self.query.total
        if not counting and self.page.next is None and self.place.number == 1 and total != "none":
            return len(self.page.rows)
        if not counting and total is None:
            return await self._cheap_total()
        if not counting and total == "none":
            return None
        # An estimate says something of what is stored beside what it counts.
        if total == "estimate" and self.context.session is None and self._sees_all():
            here = self.place.before(self.limit) + len(self.page.rows)
            seen = here + 1 if self.page.next is not None else 0
            return max(seen, await estimate(self.store, self.plan))
        return await self.store.count(self.plan, session=self.context.session)

    async def _cheap_total(self) -> int | None:
        """Return the number of all matches where counting reads few documents; else only who asks for it is told."""
        first = self.place.number == 1 and self.place.includes == 0
        if not first or len(self.query.types) > 1 or self.context.session is not None:
            return None
        for plan in self.plan.types:
            if not await self._reads_few(plan):
                return None
        return await self.store.count(self.plan)

    async def _reads_few(self, plan: TypePlan) -> bool:
        own = self.context.access.visible(plan.type)
        if own is None:
            return await self.store.reads(plan) < FEW
        # What others have must not decide, or whether there is a total would tell of it.
        [drive, *_] = drives(own)
        return drive.rank < EVERYTHING_RANK and await self.store.count_scans(plan.collection, drive.scans, FEW) < FEW

    def _sees_all(self) -> bool:
        return all(self.context.access.visible(name) is None for name in self.query.types)

    async def entries(self) -> list[searchset.Entry]:
        """Return the entries of the Bundle."""
        query = self.query
        contained = query.contained != "false" and query.contained_type == "contained"
        # Whole resources stand in the Bundle as they are stored; of others each has to be read.
        changed = contained or query.elements or query.summary in ("true", "text", "data")
        size = sum(len(row.json) for row in (*self.page.rows, *self.beside)) if changed else 0
        shown = await sized(size, self._shown, contained=contained)
        explanation = await explained(self.context, query, self.plan, self.limit) if query.explain else ()
        return shown + searchset.outcome(query, explanation)

    def _shown(self, *, contained: bool) -> list[searchset.Entry]:
        base_url, query = self.context.base_url, self.query
        rows = self.page.rows if self.place.includes == 0 else []
        if contained:
            shown = [each for row in rows for each in self._contained(row)]
        else:
            shown = searchset.matches(base_url, query, rows)
        return shown + [searchset.entry(base_url, query, row, "include") for row in self.beside]

    def _contained(self, row: Row) -> list[dict[str, Any]]:
        """Return the entries of the matches that a row contains, and of the row where it is one itself."""
        timezone, base_url = self.context.services.settings.default_timezone, self.context.base_url
        held = contained_matches(self.query, values.decode(row.json), timezone, base_url)
        url = f"{base_url}/{row.type}/{row.id}"
        if not held and row.type == self.query.types[0]:
            return [searchset.entry(base_url, self.query, row, "match")]
        return [self._part_of(url, each) for each in held]

    def _part_of(self, container: str, resource: dict[str, Any]) -> dict[str, Any]:
        """Return the entry of a contained resource, in the parts that the search asks for."""
        data = values.encode(resource)
        if subsets.is_subset(self.query, resource["resourceType"]):
            data = subsets.subset(data, self.query)
        url = f"{container}#{resource.get('id', '')}"
        return {"fullUrl": url, "resource": msgspec.Raw(data), "search": {"mode": "match"}}
