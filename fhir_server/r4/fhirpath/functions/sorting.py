"""Collections in order. https://build.fhir.org/ig/HL7/FHIRPath/#sortkeyselector-expression-asc--desc---collection"""

from __future__ import annotations

from functools import cmp_to_key
from typing import TYPE_CHECKING, TypeAlias

from fhir_server.r4.fhirpath.code import Code, Evaluation, of_items
from fhir_server.r4.fhirpath.equality import order
from fhir_server.r4.fhirpath.functions.registry import built
from fhir_server.r4.fhirpath.items import FhirPathError, Item, Items, Scope, single
from fhir_server.r4.fhirpath.syntax import Call, Polarity

if TYPE_CHECKING:
    from fhir_server.r4.fhirpath.compiler import Compiler

_MOST_KEYS = 10

_Keys: TypeAlias = list[tuple[Evaluation | None, int]]
"""What the items are sorted by, None for themselves, and -1 for a falling order."""
_Row: TypeAlias = tuple[list[Item | None], Item]


@built("sort", 0, _MOST_KEYS)
def _sort(compiler: Compiler, call: Call) -> Code:
    # A minus sign before a key, of whatever type, asks for the falling order; `desc` is parsed as one.
    target = compiler.target(call)
    inner = compiler.within(target.type)
    keys: _Keys = []
    for argument in call.arguments:
        falling = isinstance(argument, Polarity) and argument.sign == "-"
        node = argument.operand if isinstance(argument, Polarity) and falling else argument
        keys.append((inner.code(node).items, -1 if falling else 1))
    keys = keys or [(None, 1)]
    source = target.items

    def items_in_order(this: Items, scope: Scope) -> Items:
        items = source(this, scope)
        scope.spend(len(items) * (len(items).bit_length() + 1))
        rows: list[_Row] = [(_keys_of(item, keys, scope), item) for item in items]

        def compared(left: _Row, right: _Row) -> int:
            return _compared(left[0], right[0], keys)

        rows.sort(key=cmp_to_key(compared))
        return [item for _, item in rows]

    return of_items(items_in_order, target.type)


def _keys_of(item: Item, keys: _Keys, scope: Scope) -> list[Item | None]:
    return [single([item] if key is None else key([item], scope)) for key, _ in keys]


def _compared(left: list[Item | None], right: list[Item | None], keys: _Keys) -> int:
    """Return how two rows of keys stand to each other; what has no value comes first."""
    for one, other, (_, sign) in zip(left, right, keys, strict=True):
        comparison = _order(one, other)
        if comparison:
            return sign * comparison
    return 0


def _order(one: Item | None, other: Item | None) -> int:
    if one is None or other is None:
        return (one is not None) - (other is not None)
    comparison = order(one, other)
    if comparison is None:
        raise FhirPathError("The items cannot be sorted: two of them have no order between them.")
    return comparison
