"""The functions of FHIRPath by name, and the kinds of them. https://hl7.org/fhirpath/N1/#functions

A function is a row here and a few lines in one of the modules beside this one. The decorators say when its arguments
are evaluated: before it (`function`, `predicate`), or by it for each item (`criteria`); `built` ones compile
themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from fhir_server.r4.fhirpath.code import Code, Evaluation, of_items, of_truth
from fhir_server.r4.fhirpath.items import Items, Scope, weight
from fhir_server.r4.fhirpath.syntax import Call

if TYPE_CHECKING:
    from fhir_server.r4.fhirpath.compiler import Compiler

Build: TypeAlias = "Callable[[Compiler, Call], Code]"


class Function(NamedTuple):
    """A function: the fewest and the most arguments it takes, and how a call of it is compiled."""

    fewest: int
    most: int
    build: Build


FUNCTIONS: dict[str, Function] = {}


def built(name: str, fewest: int = 0, most: int | None = None) -> Callable[[Build], Build]:
    """Register a function that compiles its own calls."""

    def register(build: Build) -> Build:
        FUNCTIONS[name] = Function(fewest, fewest if most is None else most, build)
        return build

    return register


def function(
    name: str, fewest: int = 0, most: int | None = None, *, keeps: bool = False
) -> Callable[[Callable[..., Items]], Callable[..., Items]]:
    """Register a function of collections; `keeps` says that the result has the type of its input."""

    def register(run: Callable[..., Items]) -> Callable[..., Items]:
        def build(compiler: Compiler, call: Call) -> Code:
            target = compiler.target(call)
            return of_items(_applied(run, compiler, call, target.items), target.type if keeps else None)

        built(name, fewest, most)(build)
        return run

    return register


def predicate(
    name: str, fewest: int = 0, most: int | None = None
) -> Callable[[Callable[..., bool | None]], Callable[..., bool | None]]:
    """Register a function of collections that answers with a truth value."""

    def register(run: Callable[..., bool | None]) -> Callable[..., bool | None]:
        def build(compiler: Compiler, call: Call) -> Code:
            source = compiler.target(call).items
            if not call.arguments:
                return of_truth(lambda this, scope: run(_weighed(source(this, scope), scope)))
            arguments = [compiler.code(argument).items for argument in call.arguments]
            if len(arguments) == 1:
                only = arguments[0]
                return of_truth(
                    lambda this, scope: run(_weighed(source(this, scope), scope), _weighed(only(this, scope), scope))
                )
            return of_truth(
                lambda this, scope: run(
                    _weighed(source(this, scope), scope), *[_weighed(each(this, scope), scope) for each in arguments]
                )
            )

        built(name, fewest, most)(build)
        return run

    return register


def criteria(
    name: str, fewest: int = 1, most: int | None = None, *, keeps: bool = False
) -> Callable[[Callable[..., Items]], Callable[..., Items]]:
    """Register a function that evaluates its arguments itself, with `$this` and `$index` set to each item."""

    def register(run: Callable[..., Items]) -> Callable[..., Items]:
        def build(compiler: Compiler, call: Call) -> Code:
            target = compiler.target(call)
            inner = compiler.within(target.type)
            source, codes = target.items, [inner.code(argument) for argument in call.arguments]

            def evaluate(this: Items, scope: Scope) -> Items:
                items = source(this, scope)
                scope.spend(len(items))
                index = scope.index
                result = run(items, scope, *codes)
                scope.index = index
                return result

            return of_items(evaluate, target.type if keeps else None)

        built(name, fewest, most)(build)
        return run

    return register


def _applied(run: Callable[..., Items], compiler: Compiler, call: Call, source: Evaluation) -> Evaluation:
    arguments = [compiler.code(argument).items for argument in call.arguments]

    def apply(this: Items, scope: Scope) -> Items:
        inputs = [_weighed(each(this, scope), scope) for each in arguments]
        return _weighed(run(_weighed(source(this, scope), scope), *inputs), scope)

    return apply


def _weighed(items: Items, scope: Scope) -> Items:
    scope.spend(weight(items))
    return items
