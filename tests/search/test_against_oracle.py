"""The server and an independent reading of the specification find the same resources.

The evaluator in `oracle` looks at every resource for every criterion; it shares no code with the server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import strategies as st

from fhir_server.settings import Settings
from tests.databases import Databases
from tests.search import generated_queries as queries
from tests.search.generated_resources import Resource, worlds
from tests.search.oracle.evaluator import Place, World
from tests.search.served import BASE, Query, Served, served, url

EXAMPLES = 15
SEARCHES = 40

steady = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    # Each failure names its search and the resources it got wrong, so there is nothing to gain from slow shrinking.
    phases=(Phase.explicit, Phase.generate),
    report_multiple_bugs=False,
    verbosity=Verbosity.quiet,
    print_blob=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    """The event loop of all servers."""
    with asyncio.Runner() as running:
        yield running


@pytest.fixture(scope="module")
def server(runner: asyncio.Runner, mongod_url: str, databases: Databases) -> Iterator[Served]:
    """A server whose times without an offset are in UTC."""
    with served(runner, mongod_url, databases, Settings(default_page_size=1000)) as running:
        yield running


@pytest.fixture(scope="module")
def server_in_new_york(runner: asyncio.Runner, mongod_url: str, databases: Databases) -> Iterator[Served]:
    """A server whose times without an offset are in another zone."""
    with served(
        runner, mongod_url, databases, Settings(default_timezone="America/New_York", default_page_size=1000)
    ) as running:
        yield running


def asked(criteria: Any, *types: str) -> Any:
    """Return lists of searches of the types, each with one to three criteria."""
    one = [st.tuples(st.just(name), st.lists(criteria(name), min_size=1, max_size=3)) for name in types]
    return st.lists(st.one_of(*one), min_size=SEARCHES, max_size=SEARCHES)


def agree(server: Served, resources: list[Resource], searches: Sequence[Query], zone: str = "UTC") -> None:
    """Assert that each search finds the same in the server as in the evaluator."""
    world = World(Place(zone, BASE, datetime.now(UTC)))
    world.add(resources)
    server.load(resources)
    pairs = zip(searches, server.ids(searches), strict=True)
    wrong = [(search, expected, result) for search, result in pairs if result != (expected := world.search(*search))]
    assert not wrong, "\n".join(_told(*each, resources) for each in wrong[:5])


def _told(search: Query, expected: set[str], result: set[str] | str, resources: list[Resource]) -> str:
    differing = expected ^ result if isinstance(result, set) else expected
    shown = [each for each in resources if each["resourceType"] == search[0] and each["id"] in differing]
    return f"{url(*search)}\n  {search}\n  expected {expected}\n  found {result}\n  {shown}"


CLINICAL = ("Patient", "Observation", "Encounter", "Condition", "MedicationRequest")
OTHERS = ("Appointment", "Slot", "RiskAssessment", "Practitioner", "Organization", "ValueSet")


@steady
@given(worlds(*CLINICAL), asked(lambda name: queries.plain(name, "date"), *CLINICAL))
def test_dates(server: Served, resources: list[Resource], searches: list[Query]) -> None:
    """Dates with every prefix, precision and offset, in periods open at either end and in timings."""
    agree(server, resources, searches)


@steady
@given(worlds(*CLINICAL), asked(lambda name: queries.plain(name, "date"), *CLINICAL))
def test_dates_in_another_zone(server_in_new_york: Served, resources: list[Resource], searches: list[Query]) -> None:
    """Times without an offset, in resources and in searches, are in the zone that the settings name."""
    agree(server_in_new_york, resources, searches, "America/New_York")


@steady
@given(
    worlds("Observation", "Encounter", "Condition", "RiskAssessment"),
    asked(
        lambda name: queries.plain(name, "quantity", "number"),
        "Observation",
        "Encounter",
        "Condition",
        "RiskAssessment",
    ),
)  # fmt: skip
def test_numbers_and_quantities(server: Served, resources: list[Resource], searches: list[Query]) -> None:
    """Numbers and quantities with every prefix and precision, across units."""
    agree(server, resources, searches)


@steady
@given(
    worlds("Patient", "Practitioner", "Organization", "Observation"),
    asked(
        lambda name: st.one_of(queries.plain(name, "string"), queries.modified(name, "string")),
        "Patient", "Practitioner", "Organization", "Observation",
    ),
)  # fmt: skip
def test_strings(server: Served, resources: list[Resource], searches: list[Query]) -> None:
    """Strings whatever their case and accents, `:exact` and `:contains`."""
    agree(server, resources, searches)


@steady
@given(
    worlds(*CLINICAL, *OTHERS, most=2),
    asked(
        lambda name: st.one_of(queries.plain(name, "token"), queries.modified(name, "token")),
        *CLINICAL, "Appointment", "Slot", "Practitioner", "ValueSet",
    ),
)  # fmt: skip
def test_tokens(server: Served, resources: list[Resource], searches: list[Query]) -> None:
    """Tokens in their four forms, with several codings, `:not` and `:text`."""
    agree(server, resources, searches)


@steady
@given(
    worlds("Observation", "Encounter", "Appointment", "Patient"),
    asked(
        lambda name: st.one_of(queries.plain(name, "reference"), queries.modified(name, "reference")),
        "Observation", "Encounter", "Appointment", "Patient",
    ),
)  # fmt: skip
def test_references(server: Served, resources: list[Resource], searches: list[Query]) -> None:
    """References by id, by type and id, by URL, by type modifier, by identifier."""
    agree(server, resources, searches)


@steady
@given(worlds("Observation", most=8), asked(lambda name: queries.plain(name, "composite"), "Observation"))
def test_composites(server: Served, resources: list[Resource], searches: list[Query]) -> None:
    """Composites hold only where one element meets all parts."""
    agree(server, resources, searches)


@steady
@given(
    worlds("ValueSet", most=6),
    asked(lambda name: st.one_of(queries.plain(name, "uri"), queries.modified(name, "uri")), "ValueSet"),
)
def test_uris(server: Served, resources: list[Resource], searches: list[Query]) -> None:
    """Uris exactly, `:below` and `:above` by whole segments of the path."""
    agree(server, resources, searches)


@steady
@given(worlds(*CLINICAL, *OTHERS, most=2), asked(queries.simple, *CLINICAL, *OTHERS))
def test_everything_together(server: Served, resources: list[Resource], searches: list[Query]) -> None:
    """Criteria of every form in one search are joined by AND; missing values are found by `:missing`."""
    agree(server, resources, searches)


@steady
@given(
    worlds("Patient", "Observation", "Encounter", "Condition", "Appointment", "Slot", "Practitioner", "Organization"),
    asked(
        queries.chained,
        "Patient",
        "Observation",
        "Encounter",
        "Condition",
        "Appointment",
        "Practitioner",
        "Organization",
    ),
)
def test_chains(server: Served, resources: list[Resource], searches: list[Query]) -> None:
    """Chains and `_has`, one within the other, with modifiers and missing values at their ends."""
    agree(server, resources, searches)
