"""Many conditions looked up by an entry find what trying each of them finds."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.search.query.conditions import HasKey, every
from fhir_server.search.query.lookup import Lookup
from fhir_server.search.query.match import holds, index_entry
from fhir_server.search.query.parse import parse
from tests.search import generated_queries as queries
from tests.search.generated_resources import Resource, worlds
from tests.search.served import BASE

TYPES = ("Patient", "Observation", "Encounter", "Condition", "RiskAssessment", "ValueSet")
NOW = datetime(2024, 6, 1, tzinfo=UTC)


def _conditions(name: str, requested: list[tuple[str, str]]) -> list[object]:
    # Criteria alone, and each together with the next.
    singles = [parse((name,), [one], strict=True, base_url=BASE, now=NOW).condition(name) for one in requested]
    pairs = [every(list(pair)) for pair in pairwise(singles)]
    return [*singles, *pairs]


@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    worlds(*TYPES, most=3),
    st.one_of(*(st.tuples(st.just(name), st.lists(queries.simple(name), min_size=8, max_size=8)) for name in TYPES)),
    st.sets(st.integers(0, 14)),
)
def test_what_is_looked_up_is_what_holds(
    resources: list[Resource], asked: tuple[str, list[tuple[str, str]]], removed: set[int]
) -> None:
    """For each resource the lookup gives just the conditions that hold, also after some were taken out."""
    name, criteria = asked
    conditions = dict(enumerate(_conditions(name, criteria)))
    lookup: Lookup[int] = Lookup()
    for number, condition in conditions.items():
        lookup.add(number, condition, number)  # type: ignore[arg-type]
    for number in removed & conditions.keys():
        lookup.remove(number)
        del conditions[number]
    assert len(lookup) == len(conditions)
    for resource in resources:
        if resource["resourceType"] == name:
            entry = index_entry(resource, "UTC", BASE)
            holding = {number for number, each in conditions.items() if holds(each, entry)}  # type: ignore[arg-type]
            assert sorted(lookup.matches(entry)) == sorted(holding)


def test_few_conditions_are_tried_on_an_entry() -> None:
    """Of thousands that ask for different keys only those are tried whose key the entry has."""
    lookup: Lookup[int] = Lookup()
    common = HasKey(("status=final",))
    for number in range(5000):
        lookup.add(number, common, "common", [HasKey((f"patient=Patient/{number}",))])
        lookup.add(-number - 1, HasKey((f"code={number}",)), number)
    tried = 0

    def meets(condition: object, entry: object) -> bool:
        nonlocal tried
        tried += 1
        return condition is common

    entry = {"_id": "1", "keys": ["status=final", "patient=Patient/7", "code=9"], "shape": "code,patient,status"}
    assert 7 in set(lookup.matches(entry, meets))
    assert tried <= 3
