"""Resources put into a database as the engine stores them, and searched in every way that a plan allows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from fhir_server.r4.values import encode
from fhir_server.search.index.index import index
from fhir_server.search.planner.query import Plan, TypePlan, compile_query
from fhir_server.search.query.parse import parse
from fhir_server.store.database.mongo import Database
from fhir_server.store.resources.resources import Draft, ResourceStore
from fhir_server.store.search.choice import Way
from fhir_server.store.search.pages import Cursor
from fhir_server.store.search.search import SearchStore

TIME = datetime(2024, 5, 1, 12, 0, tzinfo=UTC)


async def store(database: Database, resources: Iterable[dict[str, Any]]) -> None:
    """Store the first versions of resources, each a second after the other."""
    by_type: dict[str, list[Draft]] = defaultdict(list)
    for number, resource in enumerate(resources):
        name, updated = resource["resourceType"], TIME + timedelta(seconds=number)
        draft = Draft(name, resource["id"], 1, updated, "PUT", encode(resource), resource, index(resource))
        by_type[name].append(draft)
    for drafts in by_type.values():
        await ResourceStore(database).insert_many(drafts)


def plan(resource_type: str, *pairs: tuple[str, str]) -> Plan:
    """Return the plan of a search of one type."""
    return compile_query(parse((resource_type,), pairs, strict=True, now=TIME))


def ways(plan: TypePlan) -> Iterator[Way]:
    """Yield every way to run a plan."""
    drives, sources = range(len(plan.drives)), range(len(plan.sources))
    if plan.sort:
        yield from (("collect", number) for number in drives)
        yield from (("gather", number) for number in sources)
        yield from (("order", number) for number in range(len(plan.orders)))
    else:
        yield from (("read", number) for number in drives)
        yield from (("inside", number) for number in sources)


class Decided:
    """A choice that is made already."""

    def __init__(self, way: Way) -> None:
        self.way = way

    async def choose(self, plan: TypePlan) -> Way:
        """Return the way."""
        return self.way


def decided(database: Database, way: Way) -> SearchStore:
    """Return a store that runs every plan this way."""
    search = SearchStore(database)
    search.chooser = Decided(way)  # type: ignore[assignment]
    return search


async def paged(search: SearchStore, plan: Plan, limit: int) -> list[str]:
    """Return the ids of all pages, one after another."""
    collected: list[str] = []
    cursor: Cursor | None = None
    while True:
        page = await search.page(plan, limit=limit, cursor=cursor)
        collected += [row.id for row in page.rows]
        if page.next is None:
            return collected
        assert len(page.rows) == limit, "only the last page is short"
        cursor = page.next


async def in_every_way(database: Database, plan: Plan, limits: Sequence[int] = (2, 100)) -> list[list[str]]:
    """Return the ids that each way finds with each size of page."""
    each = plan.types[0]
    return [await paged(decided(database, way), plan, limit) for way in ways(each) for limit in limits]
