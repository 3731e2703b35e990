"""Arrays: repeating elements, and the pair of arrays in which JSON writes repeating primitives with extensions.

https://hl7.org/fhir/R4/json.html#primitive
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import zip_longest
from typing import Any, TypeAlias

from fhir_server.r4.validation.faults import Check, Fault, Faults, Scope, misplaced, placed

# Sees the values of a repeating primitive and its `_name` siblings; a missing array is None.
PairCheck: TypeAlias = Callable[[Any, Any, int, Scope], Faults]

_EMPTY = "An array must not be empty."
_TOO_DEEP = Fault("", "too-costly", "This is nested more deeply than the server accepts.")


def too_deep() -> list[Fault]:
    """Return the fault of a value beyond the nesting limit."""
    return [_TOO_DEEP]


def many(one: Check) -> Check:
    """Return the check of an array whose members `one` checks."""

    def check(value: Any, depth: int, scope: Scope) -> Faults:
        if type(value) is not list:
            return misplaced("an array", value)
        if not value:
            return [Fault("", "structure", _EMPTY)]
        if depth <= 0:
            return too_deep()
        depth -= 1
        faults: Faults = None
        for index, item in enumerate(value):
            item_faults = one(item, depth, scope)
            if item_faults is not None:
                faults = placed(faults, f"[{index}]", item_faults)
        return faults

    return check


def primitive_pair(value_check: Check, lone_sibling: Check, sibling: Check) -> PairCheck:
    """Return the check of the two arrays of a repeating primitive.

    Where one array has null the other must have something; `lone_sibling` checks a sibling that has no value.
    """

    def member(value: Any, other: Any, depth: int, scope: Scope) -> Faults:
        if value is None:
            if other is None:
                return [Fault("", "structure", "null needs an extension at the same place of the other array.")]
            return lone_sibling(other, depth, scope)
        faults = value_check(value, depth, scope)
        if other is None:
            return faults
        return placed(faults, "", sibling(other, depth, scope) or ()) or None

    def check(values: Any, siblings: Any, depth: int, scope: Scope) -> Faults:
        faults = _array_faults(values, siblings, depth)
        if faults:
            return faults
        all_faults: Faults = None
        for index, (value, other) in enumerate(zip_longest(values or (), siblings)):
            at_place = member(value, other, depth - 1, scope)
            if at_place is not None:
                all_faults = placed(all_faults, f"[{index}]", at_place)
        return all_faults

    return check


def _array_faults(values: Any, siblings: Any, depth: int) -> Faults:
    for array in (siblings,) if values is None else (values, siblings):
        if type(array) is not list:
            return misplaced("an array", array)
        if not array:
            return [Fault("", "structure", _EMPTY)]
    if values is not None and len(values) != len(siblings):
        return [Fault("", "structure", "The arrays of values and of their extensions differ in length.")]
    return too_deep() if depth <= 0 else None
