"""The functions that FHIR adds to FHIRPath. https://hl7.org/fhir/R4/fhirpath.html#functions

Those which need a terminology or conformance service (memberOf, subsumes, ...) are not among them, so an
expression that asks for one is refused when it is compiled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhir_server.r4.fhirpath.code import Code, of_items, of_truth
from fhir_server.r4.fhirpath.functions.registry import built, function, predicate
from fhir_server.r4.fhirpath.items import EMPTY, FhirPathError, Item, Items, Scope, single, text_of
from fhir_server.r4.fhirpath.references import resolved, target_type
from fhir_server.r4.fhirpath.syntax import Call
from fhir_server.r4.fhirpath.types import SYSTEM_TYPES, accepts, is_fhir_type

if TYPE_CHECKING:
    from fhir_server.r4.fhirpath.compiler import Compiler

_STRUCTURES = "http://hl7.org/fhir/StructureDefinition/"


@function("extension", 1)
def _extension(items: Items, url: Items) -> Items:
    sought = text_of(url)
    return [Item("Extension", each) for item in items for each in _extensions(item) if each.get("url") == sought]


@predicate("hasExtension", 1)
def _has_extension(items: Items, url: Items) -> bool:
    sought = text_of(url)
    return any(each.get("url") == sought for item in items for each in _extensions(item))


def _extensions(item: Item) -> list[dict[str, Any]]:
    node = item.value if isinstance(item.value, dict) else item.extension
    extensions = None if node is None else node.get("extension")
    return [each for each in extensions if isinstance(each, dict)] if isinstance(extensions, list) else []


@predicate("hasValue")
def _has_value(items: Items) -> bool:
    return len(items) == 1 and items[0].value is not None and not isinstance(items[0].value, dict)


@function("getValue")
def _get_value(items: Items) -> Items:
    if not _has_value(items) or items[0].type not in SYSTEM_TYPES:
        return EMPTY
    kind = SYSTEM_TYPES[items[0].type]
    return [Item(f"System.{kind}", items[0].value)]


@built("resolve")
def _resolve(compiler: Compiler, call: Call) -> Code:
    source = compiler.target(call).items
    if compiler.search:
        return of_items(lambda this, scope: [_stub(item, scope) for item in source(this, scope)])

    def resolve(this: Items, scope: Scope) -> Items:
        targets = (resolved(item, scope) for item in source(this, scope))
        return [item for item in targets if item is not None]

    return of_items(resolve)


def _stub(item: Item, scope: Scope) -> Item:
    # An index may not depend on other resources, so search asks a reference only for what it says itself.
    target = resolved(item, scope)
    return target or Item(target_type(item) or "Resource", None)


@built("htmlChecks")
def _html_checks(compiler: Compiler, call: Call) -> Code:
    # Every narrative is checked when its resource is validated; here it would be checked twice.
    compiler.target(call)
    return of_truth(lambda this, scope: True)


@predicate("conformsTo", 1)
def _conforms_to(items: Items, structure: Items) -> bool | None:
    item, url = single(items), text_of(structure)
    if item is None or url is None:
        return None
    name = url.removeprefix(_STRUCTURES)
    if name == url or not is_fhir_type(name):
        raise FhirPathError(f"Conformance to {url} cannot be decided within an expression.")
    return accepts(name, item.type)
