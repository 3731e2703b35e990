"""Whether a collection has items, and what holds for all of them. https://hl7.org/fhirpath/N1/#existence"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhir_server.r4.fhirpath.code import Code, Test, of_truth
from fhir_server.r4.fhirpath.equality import distinct, identity
from fhir_server.r4.fhirpath.functions.registry import built, function, predicate
from fhir_server.r4.fhirpath.items import FhirPathError, Items, Scope, integer, truth
from fhir_server.r4.fhirpath.syntax import Call

if TYPE_CHECKING:
    from fhir_server.r4.fhirpath.compiler import Compiler


@built("exists", 0, 1)
def _exists(compiler: Compiler, call: Call) -> Code:
    if call.arguments:
        return of_truth(_any(compiler, call, stop_at=True))
    return of_truth(_presence(compiler, call))


@built("empty")
def _empty(compiler: Compiler, call: Call) -> Code:
    present = _presence(compiler, call)
    return of_truth(lambda this, scope: not present(this, scope))


@built("all", 1)
def _all(compiler: Compiler, call: Call) -> Code:
    failed = _any(compiler, call, stop_at=False)
    return of_truth(lambda this, scope: not failed(this, scope))


def _presence(compiler: Compiler, call: Call) -> Test:
    target = compiler.target(call)
    source = target.items
    if target.chain is None:
        return lambda this, scope: bool(source(this, scope))
    present = target.chain.presence()

    def presence(this: Items, scope: Scope) -> bool:
        if len(this) == 1 and this[0][1].__class__ is dict:
            return present(this[0][1])
        return bool(source(this, scope))

    return presence


def _any(compiler: Compiler, call: Call, *, stop_at: bool) -> Test:
    # exists(x): some item has x true. all(x): no item has x other than true.
    target = compiler.target(call)
    source, test = target.items, compiler.within(target.type).code(call.arguments[0]).truth

    def holds(this: Items, scope: Scope) -> bool:
        items = source(this, scope)
        scope.spend(len(items))
        index = scope.index
        try:
            for scope.index, item in enumerate(items):  # noqa: SIM110 - any() could not set the index
                if (test([item], scope) is True) is stop_at:
                    return True
            return False
        finally:
            scope.index = index

    return holds


@predicate("not")
def _not(items: Items) -> bool | None:
    value = truth(items)
    return None if value is None else not value


def _booleans(items: Items) -> list[bool]:
    for item in items:
        if not isinstance(item.value, bool):
            raise FhirPathError(f"A boolean was expected, not a {item.type}.")
    return [item.value for item in items]


@predicate("allTrue")
def _all_true(items: Items) -> bool:
    return all(_booleans(items))


@predicate("anyTrue")
def _any_true(items: Items) -> bool:
    return any(_booleans(items))


@predicate("allFalse")
def _all_false(items: Items) -> bool:
    return not any(_booleans(items))


@predicate("anyFalse")
def _any_false(items: Items) -> bool:
    return not all(_booleans(items))


@predicate("subsetOf", 1)
def _subset_of(items: Items, other: Items) -> bool:
    return set(map(identity, items)) <= set(map(identity, other))


@predicate("supersetOf", 1)
def _superset_of(items: Items, other: Items) -> bool:
    return set(map(identity, items)) >= set(map(identity, other))


@predicate("isDistinct")
def _is_distinct(items: Items) -> bool:
    return len(items) < 2 or len(set(map(identity, items))) == len(items)


@function("distinct", keeps=True)
def _distinct(items: Items) -> Items:
    return distinct(items)


@function("count")
def _count(items: Items) -> Items:
    return integer(len(items))
