"""Loading a part into a target that refuses some of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.engine.loading.loading import Loaded, Refused, load_into
from fhir_server.engine.loading.parts import Part

Entries = list[dict[str, Any]]


class Memory:
    """A target that keeps the ids it was given, refusing transactions as `fault` says."""

    def __init__(self, fault: Callable[[Entries], Refused | None]) -> None:
        self.fault = fault
        self.stored: list[str] = []
        self.calls = 0
        self.keys: list[str] = []

    async def transaction(self, entries: Entries, keys: list[str]) -> Entries:
        self.calls += 1
        refused = self.fault(entries)
        if refused is not None:
            raise refused
        self.stored += [entry["resource"]["id"] for entry in entries]
        self.keys += keys
        return [{"response": {"status": "201 Created"}} for _ in entries]

    async def record(self, keys: list[str]) -> None:
        self.keys += keys


def refusal(positions: list[int], status: int = 422) -> Refused:
    issues = [
        {"severity": "error", "code": "invalid", "expression": [f"Bundle.entry[{at}].resource"]} for at in positions
    ]
    return Refused(status, issues or [{"severity": "error", "code": "invalid"}])


def named(bad: set[str]) -> Callable[[Entries], Refused | None]:
    """Refuse transactions that hold bad ids, naming their places."""

    def fault(entries: Entries) -> Refused | None:
        at = [position for position, entry in enumerate(entries) if entry["resource"]["id"] in bad]
        return refusal(at) if at else None

    return fault


def unnamed(bad: set[str]) -> Callable[[Entries], Refused | None]:
    """Refuse transactions that hold bad ids, naming nothing."""

    def fault(entries: Entries) -> Refused | None:
        return refusal([]) if any(entry["resource"]["id"] in bad for entry in entries) else None

    return fault


def lines(count: int) -> Part:
    resources = ({"resourceType": "Patient", "id": str(number)} for number in range(count))
    data = b"\n".join(json.dumps(resource).encode() for resource in resources)
    return Part("file.ndjson", "part", data, 1, len(data))


def transaction(count: int) -> Part:
    entries = [
        {"resource": {"resourceType": "Patient", "id": str(at)}, "request": {"method": "PUT", "url": f"Patient/{at}"}}
        for at in range(count)
    ]
    data = json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries}).encode()
    return Part("file.json", "part", data, None, len(data))


def run(part: Part, target: Memory, existing: frozenset[str] = frozenset()) -> Loaded:
    return asyncio.run(load_into(target, part, existing))


def test_what_nobody_refuses_is_one_transaction() -> None:
    """A part without faults is sent once, and its key is recorded."""
    target = Memory(named(set()))
    loaded = run(lines(5), target)
    assert (target.calls, loaded.counts) == (1, {("Patient", "created"): 5})
    assert "part" in loaded.keys
    assert set(loaded.keys) == set(target.keys)


@settings(max_examples=60)
@given(st.sets(st.integers(0, 7)), st.booleans())
def test_a_bad_resource_does_not_refuse_its_neighbours(bad: set[int], places: bool) -> None:
    """Of resources that stand together all are stored but the bad ones, whether the refusal names these or not."""
    ids = {str(number) for number in bad}
    target = Memory(named(ids) if places else unnamed(ids))
    loaded = run(lines(8), target)
    assert sorted(target.stored) == sorted({str(number) for number in range(8)} - ids)
    assert {result.place for result in loaded.refusals} == {f"line {number + 1}" for number in bad}
    assert ("part" in loaded.keys) == (not bad)


@settings(max_examples=40)
@given(st.sets(st.integers(0, 7), min_size=1))
def test_going_on_sends_only_what_is_missing(bad: set[int]) -> None:
    """Loaded again with the keys of the first time, a part sends what was refused then, and nothing twice."""
    first = run(lines(8), Memory(named({str(number) for number in bad})))
    target = Memory(named(set()))
    loaded = run(lines(8), target, frozenset(first.keys))
    assert sorted(target.stored) == sorted(str(number) for number in bad)
    assert "part" in loaded.keys


def test_a_transaction_bundle_is_refused_as_a_whole() -> None:
    """Nothing of a transaction bundle is stored when one entry is refused, and every resource counts as refused."""
    target = Memory(named({"1"}))
    loaded = run(transaction(3), target)
    assert target.stored == []
    (result,) = loaded.refusals
    assert (result.place, result.status, result.resources) == ("", 422, ("Patient",) * 3)
    assert loaded.keys == []


def test_trouble_is_not_blamed_on_resources() -> None:
    """When the target cannot be reached, the part is left for later without trying its resources one by one."""
    target = Memory(lambda entries: refusal([], status=503))
    loaded = run(lines(50), target)
    assert target.calls == 1
    assert {result.status for result in loaded.refusals} == {503}
    assert len(loaded.refusals) == 50
