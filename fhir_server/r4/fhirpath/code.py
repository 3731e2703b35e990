"""What an expression is compiled to: a pair of closures, for its items and for its truth."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from fhir_server.r4.fhirpath.chains import Chain
from fhir_server.r4.fhirpath.items import EMPTY, Items, Scope, boolean, truth

Evaluation: TypeAlias = Callable[[Items, Scope], Items]
"""From the focus (`$this`) and the scope to a collection."""
Test: TypeAlias = Callable[[Items, Scope], "bool | None"]
"""The same, to a truth value; None is unknown, the empty collection."""


class Code(NamedTuple):
    """A compiled expression.

    `type` is the FHIR type of its items where that is known before any data, `chain` the path that it is, where it is
    nothing but a path from `$this`, `focus` whether it is `$this` itself.
    """

    items: Evaluation
    truth: Test
    type: str | None = None
    chain: Chain | None = None
    focus: bool = False


def of_items(items: Evaluation, type_name: str | None = None) -> Code:
    """Return the code of an expression that is evaluated to a collection."""
    return Code(items, lambda this, scope: truth(items(this, scope)), type_name)


def of_truth(test: Test) -> Code:
    """Return the code of an expression that is evaluated to a truth value."""
    return Code(lambda this, scope: boolean(test(this, scope)), test, "System.Boolean")


def of_constant(items: Items) -> Code:
    """Return the code of a literal."""
    value = truth(items)
    return Code(lambda this, scope: items, lambda this, scope: value, items[0].type if items else None)


def of_focus(type_name: str | None) -> Code:
    """Return the code of `$this`."""
    return of_items(lambda this, scope: this, type_name)._replace(focus=True)


def of_chain(chain: Chain) -> Code:
    """Return the code of a plain path from a focus of a known complex type."""
    walk = chain.walk()

    def items(this: Items, scope: Scope) -> Items:
        if len(this) == 1:
            node = this[0][1]
            return walk(node) if node.__class__ is dict else EMPTY
        return [each for item in this if isinstance(item.value, dict) for each in walk(item.value)]

    return Code(items, lambda this, scope: truth(items(this, scope)), chain.type, chain)
