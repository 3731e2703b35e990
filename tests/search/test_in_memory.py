"""A query decided in memory, as subscriptions do, finds what the specification says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.search.query.match import matches
from fhir_server.search.query.parse import parse
from tests.search import generated_queries as queries
from tests.search.generated_resources import Resource, worlds
from tests.search.oracle.evaluator import Place, World
from tests.search.served import BASE

TYPES = ("Patient", "Observation", "Encounter", "Condition", "RiskAssessment", "ValueSet")
NOW = datetime(2024, 6, 1, tzinfo=UTC)


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    worlds(*TYPES, most=3),
    st.one_of(*(st.tuples(st.just(name), st.lists(queries.simple(name), min_size=8, max_size=8)) for name in TYPES)),
    st.sampled_from(["UTC", "America/New_York"]),
)
def test_matches_are_those_of_the_specification(
    resources: list[Resource], asked: tuple[str, list[tuple[str, str]]], zone: str
) -> None:
    """Each criterion that looks at one resource alone is met in memory exactly where the specification says so."""
    world = World(Place(zone, BASE, NOW))
    world.add(resources)
    name, criteria = asked
    for criterion in criteria:
        query = parse((name,), [criterion], strict=True, timezone=zone, base_url=BASE, now=NOW)
        ids = {each["id"] for each in resources if matches(query, each, timezone=zone, base_url=BASE)}
        assert ids == world.search(name, [criterion]), criterion


def test_what_other_resources_must_say_is_not_decided() -> None:
    """A chain cannot be decided on one resource, and is not taken for true or false."""
    query = parse(("Observation",), [("patient.name", "x")], strict=True)
    resource: dict[str, Any] = {"resourceType": "Observation", "id": "1"}
    with pytest.raises(ValueError, match="other resources"):
        matches(query, resource)


def test_another_type_is_no_match() -> None:
    """A query of one type is not met by a resource of another."""
    query = parse(("Observation",), [], strict=True)
    assert matches(query, {"resourceType": "Observation", "id": "1"})
    assert not matches(query, {"resourceType": "Patient", "id": "1"})
