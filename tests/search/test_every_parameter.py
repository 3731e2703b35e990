"""Every search parameter finds a resource that has its value, and not one that has another."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from fhir_server.r4.definitions import RESOURCE_TYPES, search_parameters
from fhir_server.settings import Settings
from fhir_server.store.search.explain import Execution
from tests.databases import Databases
from tests.search.samples.sample_resources import Case, cases, of_type
from tests.search.samples.sample_values import filled
from tests.search.samples.samples_by_hand import CASES
from tests.search.served import Served, served

ELSEWHERE = frozenset({"_id", "_lastUpdated", "_text", "_content", "_query"})
"""Parameters without a value in the resource: test_results and test_traps have those."""


Loaded = tuple[str, list[Case]]

PADDING = 400


def excessive(execution: Execution, shapes: int) -> bool:
    """Return whether a command read a collection without an index, or several times what it found."""
    most = 3 * execution.returned + 10 + 2 * shapes
    return execution.scans_collection or max(execution.keys, execution.documents) > most


@pytest.fixture(scope="module")
def server(mongod_url: str, databases: Databases) -> Iterator[Served]:
    """A server of this module's own."""
    settings = Settings(default_page_size=1000, max_bundle_entries=10_000)
    with asyncio.Runner() as runner, served(runner, mongod_url, databases, settings) as running:
        yield running


def all_cases(resource_type: str) -> list[Case]:
    """Return the cases of all parameters of a type, made or written by hand."""
    collected: list[Case] = []
    for parameter in of_type(resource_type):
        by_hand = CASES.get((resource_type, parameter.code))
        collected += by_hand if by_hand is not None else cases(parameter, resource_type)
    return collected


@pytest.fixture(scope="module", params=sorted(RESOURCE_TYPES))
def loaded(server: Served, request: pytest.FixtureRequest) -> Loaded:
    """A type with two resources for each of its cases, and many that are found by none."""
    resource_type = str(request.param)
    existing = all_cases(resource_type)
    resources: list[dict[str, Any]] = [{"resourceType": resource_type, **filled(resource_type), "id": "pad"}]
    for number, case in enumerate(existing):
        resources += [{**case.match, "id": f"m{number}"}, {**case.other, "id": f"o{number}"}]
    server.load(resources)
    server.pad(resource_type, "pad", PADDING)
    return resource_type, existing


def test_each_parameter_finds_its_match_alone(server: Served, loaded: Loaded) -> None:
    """For each path of each parameter: found is the resource with the value, not the one with another."""
    resource_type, existing = loaded
    both = [("_id", f"m{number},o{number}") for number in range(len(existing))]
    result = server.ids(
        [(resource_type, [(case.code, case.value), own]) for case, own in zip(existing, both, strict=True)]
    )
    present = server.ids(
        [(resource_type, [(f"{case.code}:missing", "false"), own]) for case, own in zip(existing, both, strict=True)]
    )
    wrong = [
        f"{case.code}={case.value}\n  {case.match}\n  {case.other}\n  {ids}\n  present: {f'm{number}' in having}"
        for number, (case, ids, having) in enumerate(zip(existing, result, present, strict=True))
        if ids != {f"m{number}"} or f"m{number}" not in having
    ]
    assert not wrong, "\n".join(wrong)


def test_each_parameter_is_answered_from_an_index(server: Served, loaded: Loaded) -> None:
    """No search reads a collection without an index, nor much more of it than it finds."""
    resource_type, existing = loaded
    wrong: list[str] = []
    for code, value in dict.fromkeys((case.code, case.value) for case in existing):
        # `:missing` looks at every shape of a resource that there is: here each case has shapes of its own.
        shapes = 2 * len(existing)
        for name, expected, most in (
            (code, value, 0),
            (f"{code}:missing", "false", shapes),
            (f"{code}:missing", "true", shapes),
        ):
            executions = server.explain((resource_type, [(name, expected)]), 20)
            if any(excessive(each, most) for each in executions):
                wrong.append(f"{name}={expected}\n  {executions}")
    assert not wrong, "\n".join(wrong)


def test_no_parameter_is_left_out() -> None:
    """Each parameter of each type has a case, but for those that are tested elsewhere by name."""
    tested = {(name, case.code) for name in RESOURCE_TYPES for case in all_cases(name)}
    official = {
        (name, parameter.code)
        for parameter in search_parameters()
        for base in parameter.base
        for name in (RESOURCE_TYPES if base in ("Resource", "DomainResource") else [base])
    }
    assert {(name, code) for name, code in official - tested if code not in ELSEWHERE} == set()
    assert len(official) > 2_500
