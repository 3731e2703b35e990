"""The official invariants of severity error, evaluated as FHIRPath.

One that looks only at which elements exist is decided once for a shape of object. One that cannot be evaluated counts
as broken: nothing passes because the server failed to look. https://hl7.org/fhir/R4/conformance-rules.html#constraints
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Any

from fhir_server.r4 import fhirpath
from fhir_server.r4.definitions import Element, Invariant, Table
from fhir_server.r4.validation import containment
from fhir_server.r4.validation.faults import Check, Fault, Faults, Rule, Scope
from fhir_server.work.budget import OutOfBudget

# Held by the code of this package and not evaluated: ele-1 (every object and array is checked for content), ref-1
# (`references`), txt-1 and txt-2 (`narrative`; htmlChecks() is not defined as FHIRPath), and dom-2 to dom-5.
CHECKED_BY_CODE = containment.CHECKED_BY_CODE | {"ele-1", "ref-1", "txt-1", "txt-2"}

UNDECIDED = "exception"
"""The issue code of an invariant that could not be evaluated."""

# As written, tim-9 cannot be evaluated on several values of `when`, and says nothing of one. R5 words it so.
_CORRECTED = {
    "tim-9": "offset.empty() or (when.exists() and when.select($this in ('C' | 'CM' | 'CD' | 'CV')).allFalse())",
}

_existence = re.compile(r"\b[A-Za-z]+\.(?:exists|empty)\(\)")
_logic = re.compile(r"(?:\band\b|\bor\b|\bxor\b|\bimplies\b|!?=|\.not\(\)|[()\s])*").fullmatch


def enforced(invariants: Iterable[Invariant]) -> tuple[Invariant, ...]:
    """Return those that are to be evaluated: errors, and not checked by other code."""
    return tuple(each for each in invariants if each.severity == "error" and each.key not in CHECKED_BY_CODE)


def is_decided_by_shape(invariant: Invariant) -> bool:
    """Return whether only the existence of direct children decides the invariant."""
    return _logic(_existence.sub("", invariant.expression)) is not None


def shape_faults(table: Table, invariants: Iterable[Invariant], present: frozenset[str]) -> list[Fault]:
    """Return what the invariants that a shape decides say of an object of `table` with the elements `present`."""
    node = {element.name: _placeholder(element) for element in table.elements.values() if element.name in present}
    scope = Scope(node)
    return [
        fault
        for invariant in invariants
        if is_decided_by_shape(invariant)
        for fault in invariant_rule(invariant, table.name)(node, scope) or ()
    ]


def _placeholder(element: Element) -> Any:
    value = "x" if element.primitive else {"id": "x"}
    return [value] if element.many else value


def value_rules(table: Table, invariants: Iterable[Invariant]) -> tuple[Rule, ...]:
    """Return the rules for the invariants that look at values."""
    return tuple(invariant_rule(each, table.name) for each in invariants if not is_decided_by_shape(each))


def invariant_rule(invariant: Invariant, type_name: str) -> Rule:
    """Return the rule that an invariant holds for an object of a type; it is compiled at its first use."""
    expression = _CORRECTED.get(invariant.key, invariant.expression)
    broken = [Fault("", "invariant", f"{invariant.key}: {invariant.human}")]

    def rule(node: Any, scope: Scope) -> Faults:
        try:
            if _compiled(expression).holds(node, type_name, resource=scope.resource, root=scope.root):
                return None
        except OutOfBudget:
            raise
        except Exception as error:  # whatever it is, the invariant has not been shown to hold
            return [Fault("", UNDECIDED, f"{invariant.key} cannot be evaluated: {error}")]
        return broken

    return rule


def primitive_with(check: Check, element: Element) -> Check:
    """Return the check of a primitive that the element's own invariants join."""
    rules = tuple(invariant_rule(each, element.type) for each in enforced(element.invariants))

    def joined(value: Any, depth: int, scope: Scope) -> Faults:
        faults = check(value, depth, scope)
        if faults is None:
            faults = [fault for rule in rules for fault in rule(value, scope) or ()]
        return faults or None

    return joined if rules else check


@cache
def _compiled(expression: str) -> fhirpath.Expression:
    return fhirpath.compile(expression)
