"""Selecting and projecting items one by one. https://hl7.org/fhirpath/N1/#filtering-and-projection"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhir_server.r4.fhirpath.code import Code, of_items
from fhir_server.r4.fhirpath.equality import identity
from fhir_server.r4.fhirpath.functions.registry import built, criteria
from fhir_server.r4.fhirpath.items import EMPTY, Items, Scope, single
from fhir_server.r4.fhirpath.syntax import Call

if TYPE_CHECKING:
    from fhir_server.r4.fhirpath.compiler import Compiler


@criteria("where", keeps=True)
def _where(items: Items, scope: Scope, criterion: Code) -> Items:
    test, kept = criterion.truth, []
    for scope.index, item in enumerate(items):
        if test([item], scope):
            kept.append(item)
    return kept


@criteria("select")
def _select(items: Items, scope: Scope, projection: Code) -> Items:
    project, projected = projection.items, []
    for scope.index, item in enumerate(items):
        projected.extend(project([item], scope))
    return projected


@criteria("repeat")
def _repeat(items: Items, scope: Scope, projection: Code) -> Items:
    seen: set[object] = set()
    repeated: Items = []
    level = items
    while level:
        scope.spend(len(level))
        fresh: Items = []
        for scope.index, item in enumerate(level):
            for result in projection.items([item], scope):
                key = identity(result)
                if key not in seen:
                    seen.add(key)
                    fresh.append(result)
        repeated.extend(fresh)
        level = fresh
    return repeated


@criteria("aggregate", 1, 2)
def _aggregate(items: Items, scope: Scope, aggregator: Code, initial: Code | None = None) -> Items:
    outer = scope.total
    scope.total = EMPTY if initial is None else initial.items(items, scope)
    for scope.index, item in enumerate(items):
        scope.total = aggregator.items([item], scope)
    total, scope.total = scope.total, outer
    return total


@built("iif", 2, 3)
def _iif(compiler: Compiler, call: Call) -> Code:
    # The arguments see the input as `$this`, also an empty one: `resolve().iif(empty(), ...)` (ctm-1).
    target = compiler.target(call)
    inner = compiler.within(target.type)
    criterion, *results = [inner.code(argument) for argument in call.arguments]
    source, test, then = target.items, criterion.truth, results[0].items
    otherwise = results[1].items if len(results) > 1 else None

    def choose(this: Items, scope: Scope) -> Items:
        focus = source(this, scope)
        single(focus)
        if test(focus, scope):
            return then(focus, scope)
        return EMPTY if otherwise is None else otherwise(focus, scope)

    return of_items(choose)


@built("trace", 1, 2)
def _trace(compiler: Compiler, call: Call) -> Code:
    # There is no log to trace to: what is traced may be personal data. The arguments are only checked.
    target = compiler.target(call)
    compiler.code(call.arguments[0])
    for projection in call.arguments[1:]:
        compiler.within(target.type).code(projection)
    return target
