"""Keys by which rows made of resources are joined.

https://sql-on-fhir.org/ig/StructureDefinition-ViewDefinition.html#required-additional-functions
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.r4.fhirpath.code import Code, of_items
from fhir_server.r4.fhirpath.functions.registry import built, function
from fhir_server.r4.fhirpath.items import FhirPathError, Items, Scope, string
from fhir_server.r4.fhirpath.references import reference_text
from fhir_server.r4.fhirpath.syntax import Call, Literal, Member
from fhir_server.r4.references import literal

if TYPE_CHECKING:
    from fhir_server.r4.fhirpath.compiler import Compiler


@function("getResourceKey")
def _get_resource_key(items: Items) -> Items:
    """Return "Type/id" of each resource: ids alone are the same in several types."""
    return [
        key
        for item in items
        if item.type in RESOURCE_TYPES and isinstance(item.value, dict) and isinstance(item.value.get("id"), str)
        for key in string(f"{item.type}/{item.value['id']}")
    ]


@built("getReferenceKey", 0, 1)
def _get_reference_key(compiler: Compiler, call: Call) -> Code:
    """Return the key of what each reference names, a version aside; nothing for one that names no resource."""
    source = compiler.target(call).items
    type_name = _type_name(call) if call.arguments else None

    def keys(this: Items, scope: Scope) -> Items:
        items = source(this, scope)
        scope.spend(len(items))
        named = (literal(reference_text(item)) for item in items)
        return [
            key
            for each in named
            if each is not None and type_name in (None, each.type)
            for key in string(each.resource)
        ]

    return of_items(keys)


def _type_name(call: Call) -> str:
    match call.arguments[0]:
        case Member(None, name) | Member(Member(None, "FHIR"), name) | Literal("System.String", str(name)):
            if name in RESOURCE_TYPES:
                return name
    raise FhirPathError("getReferenceKey() takes a resource type, such as Patient.")
