"""FHIRPath Patch: operations in a Parameters resource, on elements that FHIRPaths select.

https://hl7.org/fhir/R4/fhirpatch.html
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from fhir_server.errors import Unprocessable
from fhir_server.r4 import fhirpath
from fhir_server.r4.fhirpath import Expression, FhirPathError
from fhir_server.r4.fhirpath.navigation import type_elements
from fhir_server.r4.fhirpath.syntax import Member
from fhir_server.r4.patching import edits
from fhir_server.r4.patching.contents import candidates, content, require_absent
from fhir_server.r4.patching.identity import require_same_identity
from fhir_server.r4.patching.parameters import Operation, operations
from fhir_server.r4.patching.places import Node, Place, Selected, Shadow
from fhir_server.work.budget import spend

_LONGEST_PATH = 2000
# Elements that all operations of a patch together may have to look at.
_MOST_VISITED = 250_000


def apply(resource: dict[str, Any], parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the resource changed by the operations, leaving the given one as it is.

    Raises BadRequest where the Parameters are no FHIRPath Patch; Unprocessable where an operation does not fit the
    resource, or the result is another resource. Either way nothing is changed.
    """
    patch = _Patch(deepcopy(resource))
    for operation in operations(parameters):
        try:
            _OPERATIONS[operation.type](patch, operation)
        except FhirPathError as error:
            raise Unprocessable(f"{operation.path}: {error}", expression=operation.expression) from error
    require_same_identity(resource, patch.resource)
    return patch.resource


class _Patch:
    """A resource while it is patched, and what finding places in it has cost."""

    def __init__(self, resource: Node) -> None:
        self.resource = resource
        self.visited = 0

    def select(self, operation: Operation, path: Expression) -> list[Selected]:
        shadow = Shadow(self.resource, path)
        self.visited += shadow.size
        spend(2 * shadow.size)
        if self.visited > _MOST_VISITED:
            raise Unprocessable("The patch is too costly.", expression=operation.expression, code="too-costly")
        return shadow.select()

    def one(self, operation: Operation, path: Expression) -> Selected:
        places = self.select(operation, path)
        if len(places) != 1:
            raise _not_single(operation, len(places))
        return places[0]


def _add(patch: _Patch, operation: Operation) -> None:
    selected = patch.one(operation, _compiled(operation.path))
    elements = candidates(selected.type, operation.name, operation.expression)
    added = content(operation.value, elements, operation.expression)
    if selected.node is not None:
        require_absent(selected.node, added.element, operation.expression)
        edits.add(selected.node, selected.type, added)
        return
    place = _inside(selected.place, operation)
    sibling = edits.sibling(place)
    require_absent(sibling, added.element, operation.expression)
    edits.add(sibling, selected.type, added)
    edits.set_sibling(place, sibling)


def _insert(patch: _Patch, operation: Operation) -> None:
    node, type_name, name = _list(patch, operation)
    inserted = content(operation.value, candidates(type_name, name, operation.expression), operation.expression)
    entries = edits.read(node, name)
    index = operation.index("index")
    if not 0 <= index <= len(entries):
        raise Unprocessable(f"{operation.path} has no index {index}.", expression=operation.expression)
    entries.insert(index, (inserted.value, inserted.sibling))
    edits.write(node, name, entries)
    edits.arrange(node, type_name)


def _move(patch: _Patch, operation: Operation) -> None:
    node, _, name = _list(patch, operation)
    entries = edits.read(node, name)
    source, destination = operation.index("source"), operation.index("destination")
    for index in (source, destination):
        if not 0 <= index < len(entries):
            raise Unprocessable(f"{operation.path} has no index {index}.", expression=operation.expression)
    entries.insert(destination, entries.pop(source))
    edits.write(node, name, entries)


def _delete(patch: _Patch, operation: Operation) -> None:
    places = patch.select(operation, _compiled(operation.path))
    if len(places) > 1:
        raise _not_single(operation, len(places))
    for selected in places:
        edits.remove(_inside(selected.place, operation))


def _replace(patch: _Patch, operation: Operation) -> None:
    place = _inside(patch.one(operation, _compiled(operation.path)).place, operation)
    type_name = place.type
    element = type_elements(type_name)[place.name]
    elements = candidates(type_name, element.choice or element.name, operation.expression)
    edits.replace(place, content(operation.value, elements, operation.expression))
    edits.arrange(place.node, type_name)


_OPERATIONS: dict[str, Callable[[_Patch, Operation], None]] = {
    "add": _add,
    "insert": _insert,
    "delete": _delete,
    "replace": _replace,
    "move": _move,
}


def _list(patch: _Patch, operation: Operation) -> tuple[Node, str, str]:
    # An insert may start a list that is not there, so it is found by the object above and the name.
    match _compiled(operation.path).tree:
        case Member(target, name):
            above = fhirpath.compile("$this") if target is None else Expression(operation.path, target)
        case _:
            raise Unprocessable(f"{operation.path} does not name a list.", expression=operation.expression)
    selected = patch.one(operation, above)
    elements = candidates(selected.type, name, operation.expression)
    if selected.node is None or not elements[0].many:
        raise Unprocessable(f"{operation.path} is not a list.", expression=operation.expression)
    return selected.node, selected.type, elements[0].name


def _compiled(path: str) -> Expression:
    if len(path) > _LONGEST_PATH:
        raise FhirPathError("The path is too long.")
    return fhirpath.compile(path)


def _not_single(operation: Operation, count: int) -> Unprocessable:
    return Unprocessable(f"{operation.path} selects {count} elements, not one.", expression=operation.expression)


def _inside(place: Place | None, operation: Operation) -> Place:
    if place is None:
        raise Unprocessable("A patch cannot remove or replace the resource itself.", expression=operation.expression)
    return place
