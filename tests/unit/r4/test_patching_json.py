"""JSON Patch on resources: RFC 6902, and what a patch may not do."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.errors import BadRequest, Unprocessable
from fhir_server.r4 import values
from fhir_server.r4.patching import json_patch

_PATIENT = {
    "resourceType": "Patient",
    "id": "p",
    "active": True,
    "name": [{"family": "Okafor", "given": ["Ada"]}, {"family": "Lind"}],
}


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ({"op": "add", "path": "/gender", "value": "female"}, {"gender": "female"}),
        ({"op": "add", "path": "/active", "value": False}, {"active": False}),
        ({"op": "add", "path": "/name/0/given/-", "value": "Rose"}, {"name/0/given": ["Ada", "Rose"]}),
        ({"op": "add", "path": "/name/0/given/0", "value": "Rose"}, {"name/0/given": ["Rose", "Ada"]}),
        ({"op": "remove", "path": "/name/0"}, {"name": [{"family": "Lind"}]}),
        ({"op": "replace", "path": "/name/1/family", "value": "Ek"}, {"name/1/family": "Ek"}),
        ({"op": "move", "from": "/name/1", "path": "/name/0"}, {"name/0/family": "Lind"}),
        ({"op": "copy", "from": "/name/1", "path": "/name/-"}, {"name/2": {"family": "Lind"}}),
        ({"op": "test", "path": "/name/1/family", "value": "Lind"}, {"active": True}),
    ],
)
def test_each_operation_changes_what_it_names(operation: dict[str, Any], expected: dict[str, Any]) -> None:
    """The six operations of RFC 6902 have their effect, and the resource given stays as it was."""
    before = deepcopy(_PATIENT)
    patched = json_patch.apply(_PATIENT, [operation])
    for path, value in expected.items():
        result: Any = patched
        for step in path.split("/"):
            result = result[int(step)] if isinstance(result, list) else result[step]
        assert result == value
    assert before == _PATIENT


def test_operations_follow_one_another() -> None:
    """Each operation sees what those before it have done."""
    operations = [
        {"op": "add", "path": "/gender", "value": "male"},
        {"op": "test", "path": "/gender", "value": "male"},
        {"op": "replace", "path": "/gender", "value": "other"},
    ]
    assert json_patch.apply(_PATIENT, operations)["gender"] == "other"


def test_an_empty_patch_changes_nothing() -> None:
    """A patch without operations gives the same resource."""
    assert json_patch.apply(_PATIENT, []) == _PATIENT


def test_decimals_keep_their_text() -> None:
    """A decimal that a patch moves, copies or brings is written as it came."""
    resource = values.decode(b'{"resourceType":"Observation","valueQuantity":{"value":0.0000001}}')
    patch = values.decode(
        b'[{"op":"add","path":"/referenceRange","value":[{"low":{"value":1.00}}]},'
        b'{"op":"copy","from":"/valueQuantity","path":"/referenceRange/0/high"}]'
    )
    encoded = values.encode(json_patch.apply(resource, patch))
    assert encoded.count(b"0.0000001") == 2
    assert b"1.00" in encoded


@pytest.mark.parametrize(
    "operations",
    [
        {"op": "remove", "path": "/active"},
        "remove",
        None,
        ["remove"],
        [{"path": "/active"}],
        [{"op": "frobnicate", "path": "/active"}],
        [{"op": ["add"], "path": "/active"}],
        [{"op": "remove"}],
        [{"op": "remove", "path": 5}],
        [{"op": "remove", "path": "active"}],
        [{"op": "remove", "path": "/a~2"}],
        [{"op": "add", "path": "/active"}],
        [{"op": "test", "path": "/active"}],
        [{"op": "copy", "path": "/active"}],
        [{"op": "copy", "path": "/active", "from": 5}],
        [{"op": "move", "path": "/active", "from": "id"}],
    ],
)
def test_what_is_no_json_patch_is_a_bad_request(operations: object) -> None:
    """A body that is not an array of well-formed operations is refused as malformed."""
    with pytest.raises(BadRequest):
        json_patch.apply(_PATIENT, operations)


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/gender"},
        {"op": "replace", "path": "/gender", "value": "male"},
        {"op": "remove", "path": "/name/7"},
        {"op": "add", "path": "/name/7", "value": {}},
        {"op": "add", "path": "/name/00", "value": {}},
        {"op": "add", "path": "/nothing/at/all", "value": 1},
        {"op": "add", "path": "/id/x", "value": 1},
        {"op": "remove", "path": "/active/x"},
        {"op": "remove", "path": "/name/-"},
        {"op": "move", "from": "/name", "path": "/name/0"},
        {"op": "copy", "from": "/nothing", "path": "/name"},
        {"op": "test", "path": "/active", "value": 1},
        {"op": "test", "path": "/active", "value": "true"},
        {"op": "test", "path": "/nothing", "value": None},
    ],
)
def test_an_operation_that_does_not_fit_is_unprocessable(operation: dict[str, Any]) -> None:
    """A path that is not there and a test that fails are refused, without a word of the resource's content."""
    with pytest.raises(Unprocessable) as refused:
        json_patch.apply(_PATIENT, [operation])
    assert "Okafor" not in refused.value.issues[0].diagnostics


@pytest.mark.parametrize(
    "operations",
    [
        [{"op": "replace", "path": "/id", "value": "q"}],
        [{"op": "remove", "path": "/id"}],
        [{"op": "replace", "path": "/resourceType", "value": "Person"}],
        [{"op": "replace", "path": "", "value": {"resourceType": "Patient", "id": "q"}}],
        [{"op": "replace", "path": "", "value": [1]}],
        [{"op": "move", "from": "/id", "path": "/language"}],
    ],
)
def test_a_patch_cannot_make_another_resource(operations: list[Any]) -> None:
    """Changing the type or the id, in whichever way, is refused."""
    with pytest.raises(Unprocessable):
        json_patch.apply(_PATIENT, operations)


def test_copies_of_copies_are_cut_off() -> None:
    """Operations that double the resource again and again are refused before they fill the memory."""
    with pytest.raises(Unprocessable) as refused:
        json_patch.apply(_PATIENT, [{"op": "copy", "from": "/name", "path": "/name/-"}] * 60)
    assert refused.value.issues[0].code == "too-costly"


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
_POINTERS = st.lists(st.sampled_from(["name", "0", "1", "-", "given", "id", "", "~1", "x"]), max_size=4).map(
    lambda parts: "".join(f"/{part}" for part in parts)
)
_OPERATIONS = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"])},
    optional={"path": _POINTERS | _VALUES, "from": _POINTERS, "value": _VALUES},
)


@settings(deadline=None)
@given(st.lists(_OPERATIONS | _VALUES, max_size=4))
def test_any_json_is_applied_or_refused(operations: list[Any]) -> None:
    """Whatever the body holds, the result is the same resource changed, or an error of the caller."""
    before = deepcopy(_PATIENT)
    try:
        patched = json_patch.apply(_PATIENT, operations)
        assert (patched["resourceType"], patched["id"]) == ("Patient", "p")
    except (BadRequest, Unprocessable) as error:
        assert error.issues  # noqa: PT017 - the refusal is one of two right outcomes
    assert before == _PATIENT
