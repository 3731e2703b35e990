"""FHIRPath Patch: operations in a Parameters resource, on elements that FHIRPaths select.

https://hl7.org/fhir/R4/fhirpatch.html
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from fhir_server.errors import Unprocessable
from fhir_server.r4 import fhirpath
from fhir_server.r4.fhirpath import Expression, FhirPathError, Item
from fhir_server.r4.fhirpath.navigation import type_elements
from fhir_server.r4.fhirpath.syntax import Member
from fhir_server.r4.patching import edits
from fhir_server.r4.patching.contents import candidates, content, require_absent
from fhir_server.r4.patching.identity import require_same_identity
from fhir_server.r4.patching.parameters import Operation, operations
from fhir_server.r4.patching.places import Node, Place, Shadow

_LONGEST_PATH = 2000
# Every operation looks at the whole resource once, so their number times its size is what a patch costs.
_MOST_VISITED = 2_000_000


def apply(resource: dict[str, Any], parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the resource changed by the operations, leaving the given one as it is.

    Raises BadRequest where the Parameters are no FHIRPath Patch; Unprocessable where an operation does not fit the
    resource, or the result is another resource. Either way nothing is changed.
    """
    patched = deepcopy(resource)
    visited = 0
    for operation in operations(parameters):
        shadow = Shadow(patched)
        visited += len(shadow.places)
        if visited > _MOST_VISITED:
            raise Unprocessable("The patch is too costly.", expression=operation.expression, code="too-costly")
        try:
            _OPERATIONS[operation.type](shadow, operation)
        except FhirPathError as error:
            raise Unprocessable(f"{operation.path}: {error}", expression=operation.expression) from error
    require_same_identity(resource, patched)
    return patched


def _add(shadow: Shadow, operation: Operation) -> None:
    item, place = _one(shadow, operation, _compiled(operation.path))
    elements = candidates(item.type, operation.name, operation.expression)
    added = content(operation.value, elements, operation.expression)
    node = shadow.original(item)
    if node is None:
        assert place is not None
        _add_to_primitive(place, item, added, operation)
        return
    require_absent(node, added.element, operation.expression)
    edits.add(node, item.type, added)


def _add_to_primitive(place: Place, item: Item, added: edits.Content, operation: Operation) -> None:
    entries = edits.read(place.node, place.name)
    at = place.index or 0
    value, sibling = entries[at]
    sibling = sibling or {}
    require_absent(sibling, added.element, operation.expression)
    edits.add(sibling, item.type, added)
    if place.index is None:
        place.node[place.sibling] = sibling
    else:
        entries[at] = (value, sibling)
        edits.write(place.node, place.name, entries)


def _insert(shadow: Shadow, operation: Operation) -> None:
    node, type_name, name = _list(shadow, operation)
    inserted = content(operation.value, candidates(type_name, name, operation.expression), operation.expression)
    entries = edits.read(node, name)
    index = operation.index("index")
    if not 0 <= index <= len(entries):
        raise Unprocessable(f"{operation.path} has no index {index}.", expression=operation.expression)
    entries.insert(index, (inserted.value, inserted.sibling))
    edits.write(node, name, entries)
    edits.arrange(node, type_name)


def _move(shadow: Shadow, operation: Operation) -> None:
    node, _, name = _list(shadow, operation)
    entries = edits.read(node, name)
    source, destination = operation.index("source"), operation.index("destination")
    for index in (source, destination):
        if not 0 <= index < len(entries):
            raise Unprocessable(f"{operation.path} has no index {index}.", expression=operation.expression)
    entries.insert(destination, entries.pop(source))
    edits.write(node, name, entries)


def _delete(shadow: Shadow, operation: Operation) -> None:
    found = shadow.select(_compiled(operation.path))
    if len(found) > 1:
        raise _not_single(operation, len(found))
    for _, place in found:
        edits.remove(_inside(place, operation))


def _replace(shadow: Shadow, operation: Operation) -> None:
    _, selected = _one(shadow, operation, _compiled(operation.path))
    place = _inside(selected, operation)
    type_name = place.type
    element = type_elements(type_name)[place.name]
    elements = candidates(type_name, element.choice or element.name, operation.expression)
    edits.replace(place, content(operation.value, elements, operation.expression))
    edits.arrange(place.node, type_name)


_OPERATIONS: dict[str, Callable[[Shadow, Operation], None]] = {
    "add": _add,
    "insert": _insert,
    "delete": _delete,
    "replace": _replace,
    "move": _move,
}


def _compiled(path: str) -> Expression:
    if len(path) > _LONGEST_PATH:
        raise FhirPathError("The path is too long.")
    return fhirpath.compile(path)


def _one(shadow: Shadow, operation: Operation, path: Expression) -> tuple[Item, Place | None]:
    found = shadow.select(path)
    if len(found) != 1:
        raise _not_single(operation, len(found))
    return found[0]


def _not_single(operation: Operation, count: int) -> Unprocessable:
    return Unprocessable(f"{operation.path} selects {count} elements, not one.", expression=operation.expression)


def _inside(place: Place | None, operation: Operation) -> Place:
    if place is None:
        raise Unprocessable("A patch cannot remove or replace the resource itself.", expression=operation.expression)
    return place


def _list(shadow: Shadow, operation: Operation) -> tuple[Node, str, str]:
    path = _compiled(operation.path)
    match path.tree:
        case Member(target, name):
            above = fhirpath.compile("$this") if target is None else Expression(operation.path, target)
        case _:
            raise Unprocessable(f"{operation.path} does not name a list.", expression=operation.expression)
    item, _ = _one(shadow, operation, above)
    elements = candidates(item.type, name, operation.expression)
    node = shadow.original(item)
    if node is None or not elements[0].many:
        raise Unprocessable(f"{operation.path} is not a list.", expression=operation.expression)
    return node, item.type, elements[0].name
