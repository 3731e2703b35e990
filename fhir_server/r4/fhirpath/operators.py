"""The operators between two collections, by their signs. https://hl7.org/fhirpath/N1/#operations"""

from __future__ import annotations

from collections.abc import Callable

from fhir_server.r4.fhirpath import arithmetic, logic
from fhir_server.r4.fhirpath.code import Code, Evaluation, of_items, of_truth
from fhir_server.r4.fhirpath.equality import distinct, equal, equal_items, equivalent, order
from fhir_server.r4.fhirpath.items import Items, Scope, grown, single, text_of, weight
from fhir_server.r4.fhirpath.types import SYSTEM_TYPES


def _between(compare: Callable[[Items, Items], bool | None]) -> Callable[[Code, Code], Code]:
    def build(left: Code, right: Code) -> Code:
        one, other = left.items, right.items
        return of_truth(lambda this, scope: compare(*_both(one, other, this, scope)))

    return build


def _both(one: Evaluation, other: Evaluation, this: Items, scope: Scope) -> tuple[Items, Items]:
    """Return the two collections that an operator stands between, their size counted."""
    left, right = one(this, scope), other(this, scope)
    scope.spend(weight(left) + weight(right))
    return left, right


def _not_equal(left: Items, right: Items) -> bool | None:
    same = equal(left, right)
    return None if same is None else not same


def _ordered(holds: Callable[[int], bool]) -> Callable[[Items, Items], bool | None]:
    def compare(left: Items, right: Items) -> bool | None:
        one, other = single(left), single(right)
        if one is None or other is None:
            return None
        sign = order(one, other)
        return None if sign is None else holds(sign)

    return compare


def _in(left: Items, right: Items) -> bool | None:
    item = single(left)
    if item is None:
        return None
    return any(equal_items(item, other) for other in right)


def _union(left: Code, right: Code) -> Code:
    one, other = left.items, right.items
    same = left.type if left.type == right.type else None

    def union(this: Items, scope: Scope) -> Items:
        left, right = _both(one, other, this, scope)
        return distinct(left + right)

    return of_items(union, same)


def _from(compute: Callable[[Items, Items], Items]) -> Callable[[Code, Code], Code]:
    def build(left: Code, right: Code) -> Code:
        one, other = left.items, right.items
        return of_items(lambda this, scope: compute(*_both(one, other, this, scope)))

    return build


def _concatenated(left: Items, right: Items) -> Items:
    return grown((text_of(left) or "") + (text_of(right) or ""))


OPERATORS: dict[str, Callable[[Code, Code], Code]] = {
    "and": logic.and_,
    "or": logic.or_,
    "xor": logic.xor,
    "implies": logic.implies,
    "=": _between(equal),
    "!=": _between(_not_equal),
    "~": _between(equivalent),
    "!~": _between(lambda left, right: not equivalent(left, right)),
    "<": _between(_ordered(lambda sign: sign < 0)),
    "<=": _between(_ordered(lambda sign: sign <= 0)),
    ">": _between(_ordered(lambda sign: sign > 0)),
    ">=": _between(_ordered(lambda sign: sign >= 0)),
    "in": _between(_in),
    "contains": _between(lambda left, right: _in(right, left)),
    "|": _union,
    "&": _from(_concatenated),
    "+": _from(arithmetic.plus),
    "-": _from(arithmetic.minus),
    "*": _from(arithmetic.times),
    "/": _from(arithmetic.divided),
    "div": _from(arithmetic.div),
    "mod": _from(arithmetic.mod),
}


def equal_to_text(left: Code, text: str) -> Code:
    """Return the code of `left = 'text'`, the commonest comparison of all."""
    source = left.items

    def test(this: Items, scope: Scope) -> bool | None:
        items = source(this, scope)
        if not items:
            return None
        if len(items) > 1:
            return False
        item = items[0]
        if item.value is None:
            return None
        return bool(item.value == text) and SYSTEM_TYPES.get(item.type) == "String"

    return of_truth(test)
