"""Asking for and filtering by type. https://hl7.org/fhirpath/N1/#types

`as` keeps the items of the type, of a collection of any size: R4's own search expressions and invariants
(`descendants().as(uri)` in dom-3) need it to be a filter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhir_server.r4.fhirpath.code import Code, of_chain, of_items, of_truth
from fhir_server.r4.fhirpath.functions.registry import built, function
from fhir_server.r4.fhirpath.items import FhirPathError, Item, Items, Scope, single
from fhir_server.r4.fhirpath.syntax import Call, type_specifier
from fhir_server.r4.fhirpath.types import accepts, keeps, specified

if TYPE_CHECKING:
    from fhir_server.r4.fhirpath.compiler import Compiler


# Types of which an item may be a kind, so that they do not say what elements it has.
_OPEN = frozenset(("Resource", "DomainResource", "Element", "BackboneElement"))


def is_type(operand: Code, specifier: str) -> Code:
    """Return the code of `operand is specifier`."""
    source, name = operand.items, specified(specifier)

    def test(this: Items, scope: Scope) -> bool | None:
        item = single(source(this, scope))
        return None if item is None else accepts(name, item.type)

    return of_truth(test)


def as_type(operand: Code, specifier: str) -> Code:
    """Return the code of `operand as specifier`."""
    source, name = operand.items, specified(specifier)
    if operand.chain is not None and all(end.type != "Resource" for end in operand.chain.ends):
        return of_chain(operand.chain.narrowed(name))

    def keep(this: Items, scope: Scope) -> Items:
        return [item for item in source(this, scope) if keeps(name, item.type)]

    return of_items(keep, None if name in _OPEN or name.startswith("System.") else name)


@built("is", 1)
def _is(compiler: Compiler, call: Call) -> Code:
    return is_type(compiler.target(call), _specifier(call))


@built("as", 1)
@built("ofType", 1)
def _as(compiler: Compiler, call: Call) -> Code:
    return as_type(compiler.target(call), _specifier(call))


def _specifier(call: Call) -> str:
    specifier = type_specifier(call.arguments[0])
    if specifier is None:
        raise FhirPathError(f"{call.name}() takes the name of a type.")
    return specifier


@function("type")
def _type(items: Items) -> Items:
    return [Item("System.TypeInfo", _type_info(item.type)) for item in items]


def _type_info(type_name: str) -> dict[str, str]:
    name = type_name.removeprefix("System.")
    return {"namespace": "FHIR" if name == type_name else "System", "name": name}
