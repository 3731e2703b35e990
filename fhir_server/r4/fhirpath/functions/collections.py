"""Parts of collections, and several made into one. https://hl7.org/fhirpath/N1/#subsetting"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhir_server.r4.fhirpath.code import Code, of_items
from fhir_server.r4.fhirpath.equality import distinct, identity
from fhir_server.r4.fhirpath.functions.registry import built, function
from fhir_server.r4.fhirpath.items import EMPTY, Items, Scope, integer_of, single
from fhir_server.r4.fhirpath.navigation import children, descendants
from fhir_server.r4.fhirpath.syntax import Call

if TYPE_CHECKING:
    from fhir_server.r4.fhirpath.compiler import Compiler


@function("single", keeps=True)
def _single(items: Items) -> Items:
    single(items)
    return items


@function("first", keeps=True)
def _first(items: Items) -> Items:
    return items[:1]


@function("last", keeps=True)
def _last(items: Items) -> Items:
    return items[-1:]


@function("tail", keeps=True)
def _tail(items: Items) -> Items:
    return items[1:]


@function("skip", 1, keeps=True)
def _skip(items: Items, number: Items) -> Items:
    return items[max(integer_of(number) or 0, 0) :]


@function("take", 1, keeps=True)
def _take(items: Items, number: Items) -> Items:
    return items[: max(integer_of(number) or 0, 0)]


@function("intersect", 1, keeps=True)
def _intersect(items: Items, other: Items) -> Items:
    keys = set(map(identity, other))
    return distinct([item for item in items if identity(item) in keys])


@function("exclude", 1, keeps=True)
def _exclude(items: Items, other: Items) -> Items:
    keys = set(map(identity, other))
    return [item for item in items if identity(item) not in keys]


@function("union", 1)
def _union(items: Items, other: Items) -> Items:
    return distinct(items + other)


@built("combine", 1)
def _combine(compiler: Compiler, call: Call) -> Code:
    source, other = compiler.target(call).items, compiler.code(call.arguments[0]).items

    def combine(this: Items, scope: Scope) -> Items:
        items = source(this, scope) + other(this, scope)
        scope.spend(len(items))
        return items

    return of_items(combine)


@function("children")
def _children(items: Items) -> Items:
    return children(items) if items else EMPTY


@built("descendants")
def _descendants(compiler: Compiler, call: Call) -> Code:
    source = compiler.target(call).items
    return of_items(lambda this, scope: descendants(source(this, scope), scope))
