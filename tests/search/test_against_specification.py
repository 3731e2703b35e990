"""The server, and its decision in memory, give the answers that the specification gives."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.search.conditions import ReferredBy, RefersTo, leaves
from fhir_server.search.match import matches
from fhir_server.search.parse import parse
from fhir_server.store.mongo import Database
from tests.search import generated, specification
from tests.search.stored import NOW, found, store

SEARCHES_PER_WORLD = 25
TYPES = ("Patient", "Practitioner", "Observation", "RiskAssessment", "ValueSet")


async def emptied(database: Database) -> None:
    await database.ensure(TYPES)
    for name in TYPES:
        await database.current(name).delete_many({})


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    world=generated.worlds(),
    searches=st.lists(generated.searches, min_size=SEARCHES_PER_WORLD, max_size=SEARCHES_PER_WORLD),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"]),
)
async def test_searches_find_what_the_specification_says(
    database: Database, world: list[dict[str, Any]], searches: list[tuple[str, list[tuple[str, str]]]], zone: str
) -> None:
    """The database finds the same resources as a plain reading of the specification, whatever is stored and asked."""
    await emptied(database)
    await store(database, world, zone)
    known = specification.World(world, zone, NOW)
    for resource_type, pairs in searches:
        expected = specification.search(known, resource_type, pairs)
        assert await found(database, resource_type, pairs, zone) == expected, (resource_type, pairs)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    world=generated.worlds(),
    searches=st.lists(generated.searches, min_size=SEARCHES_PER_WORLD, max_size=SEARCHES_PER_WORLD),
)
def test_a_resource_is_matched_in_memory_as_in_the_database(
    world: list[dict[str, Any]], searches: list[tuple[str, list[tuple[str, str]]]]
) -> None:
    """Without the database, the same resources meet a query that asks nothing of other resources."""
    known = specification.World(world, "UTC", NOW)
    for resource_type, pairs in searches:
        query = parse((resource_type,), pairs, strict=True, now=NOW)
        if any(isinstance(each, RefersTo | ReferredBy) for each in leaves(query.condition(resource_type))):
            with pytest.raises(ValueError, match="other resources"):
                [matches(query, each) for each in world if each["resourceType"] == resource_type]
                raise ValueError("nothing of other resources was asked, as there was nothing to ask it of")
            continue
        mine = sorted(each["id"] for each in world if matches(query, each))
        assert mine == specification.search(known, resource_type, pairs), (resource_type, pairs)
