"""JSON Merge Patch on resources: RFC 7396, and what a patch may not do."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.errors import BadRequest, Unprocessable
from fhir_server.r4.patching.merge_patch import MergePatch, apply, merge
from fhir_server.work.budget import Budget, OutOfBudget, working

_PATIENT = {
    "resourceType": "Patient",
    "id": "p",
    "active": True,
    "name": [{"family": "Okafor"}],
    "_gender": {"id": "g"},
}


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_the_examples_of_the_rfc(target: Any, patch: dict[str, Any], result: Any) -> None:
    """RFC 7396, appendix A: each of its cases whose patch is an object."""
    before = deepcopy(target)
    assert merge(target, patch) == result
    assert target == before


@pytest.mark.parametrize("patch", [["c"], None, "bar", 1, True])
def test_a_patch_of_a_resource_is_an_object(patch: Any) -> None:
    """Whatever else the RFC takes would leave no resource."""
    with pytest.raises(BadRequest):
        apply(_PATIENT, MergePatch(patch))


@pytest.mark.parametrize("patch", [{"id": "q"}, {"id": None}, {"resourceType": "Group"}, {"resourceType": None}])
def test_type_and_id_stay(patch: dict[str, Any]) -> None:
    """A merge patch may not make the resource another one."""
    with pytest.raises(Unprocessable):
        apply(_PATIENT, MergePatch(patch))


_JSON = st.recursive(
    st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=4),
    max_leaves=12,
)
_OBJECTS = st.dictionaries(st.sampled_from("abcd"), _JSON, max_size=4)


def _difference(source: dict[str, Any], target: dict[str, Any]) -> dict[str, Any]:
    """Return the merge patch that leads from one object to another."""
    changes: dict[str, Any] = {name: None for name in source if name not in target}
    for name, value in target.items():
        old = source.get(name)
        if isinstance(value, dict):
            changes[name] = _difference(old if isinstance(old, dict) else {}, value)
        elif name not in source or old != value or type(old) is not type(value):
            changes[name] = value
    return changes


@settings(deadline=None)
@given(source=_OBJECTS, target=_OBJECTS)
def test_the_merge_of_a_difference_gives_the_target(source: dict[str, Any], target: dict[str, Any]) -> None:
    """Any object becomes any other (without nulls) by their difference, and the source stays as it was."""
    before = deepcopy(source)
    assert merge(source, _difference(source, target)) == target
    assert source == before


def test_a_merge_has_its_price() -> None:
    """Each member counts against the request's budget."""
    with working(Budget(0.01)), pytest.raises(OutOfBudget):
        merge({}, {str(n): n for n in range(100_000)})
