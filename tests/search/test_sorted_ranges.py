"""A sort reads from where the conditions on its parameter begin to where they end: it finds what the evaluator finds,
in order, in whatever way it is run and on pages of any size. What a range has is counted as the evaluator counts it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fhir_server.search.planner.query import compile_query
from fhir_server.search.planner.scans import Falling, KeyRange, UpdatedWalk
from fhir_server.search.query.parse import parse
from fhir_server.settings import Settings
from fhir_server.store.search.search import SearchStore
from tests.databases import Databases
from tests.encrypted import plain_only
from tests.search import generated_queries as queries
from tests.search.generated_resources import TYPES, Resource, Strategy
from tests.search.oracle.elements import elements
from tests.search.oracle.evaluator import Place, World
from tests.search.oracle.parameters import PARAMETERS
from tests.search.oracle.spans import element_span
from tests.search.oracle.texts import folded, texts
from tests.search.served import BASE, Query, Served, served, url
from tests.store.searched import decided, paged, plan, ways

SORTED = (
    ("Observation", "date"),
    ("MedicationRequest", "date"),
    ("Encounter", "date"),
    ("Observation", "value-quantity"),
    ("RiskAssessment", "probability"),
    ("Patient", "birthdate"),
    ("Patient", "family"),
    ("Patient", "given"),
    ("Organization", "name"),
    ("Observation", "value-string"),
)
"""Parameters of one value and of several: dates, periods and timings, numbers, ranges and texts."""


@pytest.fixture(scope="module")
def server(mongod_url: str, databases: Databases) -> Iterator[Served]:
    """A server with a database of its own."""
    with (
        asyncio.Runner() as runner,
        served(runner, mongod_url, databases, Settings(default_page_size=1000)) as running,
    ):
        yield running


def _world(resource_type: str) -> Strategy:
    def named(bodies: list[Resource]) -> list[Resource]:
        return [{"resourceType": resource_type, "id": f"r{number}", **body} for number, body in enumerate(bodies)]

    return st.lists(TYPES[resource_type], min_size=8, max_size=20).map(named)


def _value(parameter_type: str) -> Strategy:
    if parameter_type == "string":
        return st.one_of(queries.strings, st.sampled_from(tuple("akmov")))
    numbers = queries.prefixed(st.sampled_from(("0", "0.01", "1", "5.4", "9.9", "99.5", "100")))
    return queries.dates if parameter_type == "date" else numbers


def _search(resource_type: str, name: str) -> Strategy:
    one = st.tuples(st.just(name), _value(PARAMETERS[resource_type][name].type))
    criteria = st.lists(one, min_size=1, max_size=2)
    return st.tuples(criteria, st.sampled_from((name, f"-{name}")), st.sampled_from((2, 3, 100)))


def _worlds_and_searches() -> Strategy:
    return st.sampled_from(SORTED).flatmap(
        lambda result: st.tuples(
            st.just(result), _world(result[0]), st.lists(_search(*result), min_size=12, max_size=12)
        )
    )


@plain_only
@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)
@given(_worlds_and_searches())
def test_every_order_finds_what_the_evaluator_finds(server: Served, case: Any) -> None:
    """Rising and falling, with bounds on either side, with ties, periods, several values and none."""
    (resource_type, name), resources, searches = case
    world = World(Place("UTC", BASE, datetime.now(UTC)))
    world.add(resources)
    server.load(resources)
    for criteria, sort, limit in searches:
        expected = world.search(resource_type, criteria)
        searched = compile_query(parse((resource_type,), [*criteria, ("_sort", sort)], strict=True))
        assert server.runner.run(SearchStore(server.database).count(searched)) == len(expected), criteria
        for way in ways(searched.types[0]):
            result = server.runner.run(paged(decided(server.database, way), searched, limit))
            reported = url(resource_type, [*criteria, ("_sort", sort), ("_count", str(limit))]), way
            assert len(result) == len(set(result)), reported
            assert set(result) == expected, reported
            places = [_place(world.resources[resource_type, each], name, falling=sort != name) for each in result]
            having = [each for each in places if each is not None]
            assert places == sorted(having, reverse=sort != name) + [None] * (len(places) - len(having)), reported


def _place(resource: Resource, name: str, *, falling: bool) -> Any:
    """Return the value by which a resource is sorted, None where it has none that can be."""
    parameter = PARAMETERS[resource["resourceType"]][name]
    collected: list[Any] = []
    for element in [each for path in parameter.paths for each in elements(resource, path)]:
        if parameter.type == "date":
            span = element_span(element.type, element.value, "UTC")
            collected += [] if span is None else [span.high if falling else span.low]
        elif parameter.type == "string":
            collected += [folded(each) for each in texts(element)]
        elif isinstance(element.value, dict):
            collected += [element.value["value"]] if "value" in element.value else []
        else:
            collected.append(element.value)
    return (max if falling else min)(collected) if collected else None


Searched = tuple[str, tuple[tuple[str, str], ...]]


@pytest.mark.parametrize(
    ("search", "narrower"),
    [
        (("Observation", (("date", "lt2010"), ("_sort", "date"))), "high"),
        (("Observation", (("date", "ge2010"), ("_sort", "-date"))), "high"),
        (("Observation", (("date", "ge2010"), ("_sort", "date"))), "low"),
        (("Observation", (("date", "lt2010"), ("_sort", "-date"))), "low"),
        (("Observation", (("value-quantity", "lt5"), ("_sort", "value-quantity"))), "high"),
        (("Observation", (("value-quantity", "gt5"), ("_sort", "value-quantity"))), "low"),
        (("Observation", (("value-quantity", "lt5"), ("_sort", "-value-quantity"))), "high"),
        (("Observation", (("value-quantity", "gt5"), ("_sort", "-value-quantity"))), "low"),
        (("ValueSet", (("title", "mi"), ("_sort", "title"))), "low"),
        (("ValueSet", (("title", "mi"), ("_sort", "title"))), "high"),
        (("ValueSet", (("title", "mi"), ("_sort", "-title"))), "low"),
        (("ValueSet", (("title", "mi"), ("_sort", "-title"))), "high"),
        (("Patient", (("family", "mi"), ("_sort", "family"))), "high"),
        (("Patient", (("family", "mi"), ("_sort", "-family"))), "high"),
        (("Observation", (("_lastUpdated", "lt2010"), ("_sort", "-_lastUpdated"))), "high"),
        (("Observation", (("_lastUpdated", "ge2010"), ("_sort", "-_lastUpdated"))), "low"),
    ],
)
def test_the_walk_is_within_the_bounds(search: Searched, narrower: str) -> None:
    """Nothing beyond the bounds of what is asked is read."""
    resource_type, pairs = search
    walk = next(each for each in plan(resource_type, *pairs).types[0].orders[0].scans if _is_walk(each, pairs))
    whole = plan(resource_type, pairs[-1]).types[0].orders[0].scans[0]
    assert isinstance(walk, KeyRange | Falling | UpdatedWalk)
    assert isinstance(whole, KeyRange | Falling | UpdatedWalk)
    if isinstance(walk, UpdatedWalk):
        assert getattr(walk, narrower) is not None
    elif narrower == "low":
        assert walk.low > whole.low  # type: ignore[operator]
    else:
        assert walk.high < whole.high  # type: ignore[operator]


def _is_walk(scan: Any, pairs: tuple[tuple[str, str], ...]) -> bool:
    # What is read first is what may stand before the bound; its keys are others.
    return isinstance(scan, UpdatedWalk | Falling) or (isinstance(scan, KeyRange) and f"{pairs[0][0]}~" not in scan.low)


def test_searches_that_exclude_each_other_find_nothing(server: Served) -> None:
    """Bounds that leave nothing between them are no error, whichever way is sorted."""
    server.load([{"resourceType": "Observation", "id": "o", "status": "final", "code": {"text": "x"},
                  "effectiveDateTime": "2010-06-01", "valueQuantity": {"value": 5}}])  # fmt: skip
    items: list[Query] = [
        ("Observation", (("date", "lt2000"), ("date", "gt2020"), ("_sort", "-date"))),
        ("Observation", (("date", "lt2000"), ("date", "gt2020"), ("_sort", "date"))),
        ("Observation", (("value-quantity", "lt1"), ("value-quantity", "gt9"), ("_sort", "-value-quantity"))),
        ("Observation", (("_lastUpdated", "lt2000"), ("_lastUpdated", "gt2020"), ("_sort", "-_lastUpdated"))),
    ]
    assert server.ids(items) == [set()] * len(items)
