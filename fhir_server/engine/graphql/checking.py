"""Is the statement one that can be carried out? Fields, arguments and directives are known, and it is not too large.

All faults are found before anything is read. https://hl7.org/fhir/R4/graphql.html#errors
"""

from __future__ import annotations

from collections.abc import Iterable

from graphql import DirectiveNode, FieldNode, FragmentSpreadNode, InlineFragmentNode, SelectionNode, SelectionSetNode

from fhir_server.engine.graphql.faults import Fault, Faults
from fhir_server.engine.graphql.places import ANY, CONNECTION, LIST, TYPES, Place, searched_type, types_of
from fhir_server.engine.graphql.searches import is_search_argument
from fhir_server.engine.graphql.statement import Statement
from fhir_server.r4 import fhirpath
from fhir_server.r4.fhirpath import FhirPathError

_CHOOSING = frozenset({"skip", "include"})
_SHAPING = frozenset({"flatten", "first", "singleton", "slice"})
_LIST_ARGUMENTS = frozenset({"fhirpath", "_offset", "_count"})
_MOST_FAULTS = 20


def check(statement: Statement, root: Place | None, *, max_depth: int, max_fields: int) -> None:
    """Raise Faults unless the statement can be carried out at a resource, or without a root on the whole system."""
    checking = _Checking(statement, max_depth, max_fields)
    checking.selections(root, statement.operation.selection_set, 1, ())
    if checking.faults:
        raise Faults(checking.faults)


class _Checking:
    def __init__(self, statement: Statement, max_depth: int, max_fields: int) -> None:
        self.faults: list[Fault] = []
        self._statement = statement
        self._max_depth = max_depth
        self._left = self._max_fields = max_fields

    def selections(self, place: Place | None, selection: SelectionSetNode, depth: int, spread: tuple[str, ...]) -> None:
        """Check a selection at a place; None is the root of the system."""
        if depth > self._max_depth:
            raise Faults([Fault(f"A statement has at most {self._max_depth} levels.", selection, "too-costly")])
        for node in selection.selections:
            self._left -= 1
            if self._left < 0:
                text = f"A statement has at most {self._max_fields} fields, those of its fragments included."
                raise Faults([Fault(text, node, "too-costly")])
            try:
                self._selection(place, node, depth, spread)
            except Fault as fault:
                self.faults.append(fault)
                if len(self.faults) >= _MOST_FAULTS:
                    raise Faults(self.faults) from None

    def _selection(self, place: Place | None, node: SelectionNode, depth: int, spread: tuple[str, ...]) -> None:
        self._statement.includes(node)
        match node:
            case FieldNode():
                self._field(place, node, depth, spread)
            case InlineFragmentNode():
                condition = node.type_condition.name.value if node.type_condition else None
                self._fragment(place, node, condition, node.selection_set, depth, spread)
            case FragmentSpreadNode():
                name = node.name.value
                fragment = self._statement.fragments.get(name)
                if fragment is None or name in spread:
                    reason = "contains itself" if fragment else "is not there"
                    raise Fault(f"The fragment {name} {reason}.", node)
                condition = fragment.type_condition.name.value
                self._fragment(place, node, condition, fragment.selection_set, depth, (*spread, name))

    def _fragment(  # noqa: PLR0917 - what a selection needs, and the fragment's own type and fields
        self,
        place: Place | None,
        node: SelectionNode,
        condition: str | None,
        selection: SelectionSetNode,
        depth: int,
        spread: tuple[str, ...],
    ) -> None:
        self._directives(node, _CHOOSING)
        if condition is not None and place is not None:
            if condition not in TYPES:
                raise Fault(f"{condition} is not a type of FHIR R4.", node)
            place = place.narrowed(condition)
            if not place.types:
                raise Fault(f"There is never a {condition} here.", node)
        self.selections(place, selection, depth, spread)

    def _field(self, place: Place | None, node: FieldNode, depth: int, spread: tuple[str, ...]) -> None:
        name = node.name.value
        arguments = set(self._statement.arguments(node))
        if name == "__typename" or (name == "resourceType" and place is not None and place.resource):
            below = None
            self._arguments(node, arguments, ())
        else:
            below = self._root(node, arguments) if place is None else self._below(place, node, arguments)
        self._directives(node, _CHOOSING | _SHAPING, complex_=below is not None)
        if (below is None) == (node.selection_set is not None):
            text = "has no fields to select" if below is None else "needs a selection of its fields"
            raise Fault(f"{name} {text}.", node)
        if below is not None and node.selection_set is not None:
            self.selections(below, node.selection_set, depth + 1, spread)

    def _root(self, node: FieldNode, arguments: set[str]) -> Place:
        name = node.name.value
        if name in ANY:
            self._arguments(node, arguments, ("id",))
            if "id" not in arguments:
                raise Fault(f"{name} needs the argument id; {name}List searches.", node, "required")
            return Place(frozenset({name}))
        target = self._search(node, arguments, nested=False)
        if target is None:
            raise Fault(f"There is no field {name} here, but Patient, PatientList and so on.", node)
        return target

    def _below(self, place: Place, node: FieldNode, arguments: set[str]) -> Place | None:
        name = node.name.value
        element = place.element(name)
        if element is not None:
            if element.primitive:
                self._arguments(node, arguments, ())
                return None
            below = place.below(name)
            self._arguments(node, arguments, [each for each in arguments if _selects(below, each)])
            return below
        if name == "resource" and "Reference" in place.types:
            self._arguments(node, arguments, ("optional", "type"))
            return self._referenced(place, node)
        target = self._search(node, arguments, nested=True) if place.resource else None
        if target is None:
            raise Fault(f"{' or '.join(sorted(place.types)[:5])} has no element {name}.", node)
        return target

    def _referenced(self, place: Place, node: FieldNode) -> Place:
        named = self._statement.arguments(node).get("type")
        if named is None:
            return Place(place.targets)
        names = named if isinstance(named, list) else [named]
        unknown = [str(each)[:60] for each in names if each not in ANY]
        if unknown:
            raise Fault(f"{', '.join(unknown)}: not a resource type of FHIR R4.", node)
        return Place(types_of(names))

    def _search(self, node: FieldNode, arguments: set[str], *, nested: bool) -> Place | None:
        """Return the place of what a List or Connection field finds; None for any other field."""
        name = node.name.value
        connected = searched_type(name, CONNECTION)
        resource_type = connected or searched_type(name, LIST)
        if resource_type is None:
            return None
        taken = [
            each
            for each in arguments
            if is_search_argument(resource_type, each, nested=nested, connected=bool(connected))
        ]
        self._arguments(node, arguments, taken)
        if nested and "_reference" not in arguments:
            raise Fault(f"{name} needs the argument _reference: the parameter that refers here.", node, "required")
        return Place(frozenset({name if connected else resource_type}))

    def _arguments(self, node: FieldNode, names: set[str], allowed: Iterable[str]) -> None:
        unknown = sorted(names - set(allowed))
        if unknown:
            raise Fault(f"{node.name.value} has no argument {', '.join(unknown)}.", node, "not-supported")
        if "fhirpath" in names:
            _require_expression(self._statement.arguments(node)["fhirpath"], node)

    def _directives(self, node: SelectionNode, allowed: frozenset[str], *, complex_: bool = True) -> None:
        for directive in node.directives or ():
            name = directive.name.value
            if name not in allowed:
                raise Fault(f"There is no directive @{name} here.", directive, "not-supported")
            if name == "flatten" and not complex_:
                raise Fault("Only what has fields of its own can be flattened.", directive)
            self._directive_arguments(directive)

    def _directive_arguments(self, directive: DirectiveNode) -> None:
        name, arguments = directive.name.value, self._statement.arguments(directive)
        allowed = {"slice": {"path"}, "skip": {"if"}, "include": {"if"}}.get(name, set())
        if set(arguments) != allowed:
            raise Fault(f"@{name} takes {', '.join(allowed) or 'no arguments'}.", directive)
        if name == "slice" and arguments["path"] != "$index":
            _require_expression(arguments["path"], directive)


def _selects(below: Place, argument: str) -> bool:
    child = below.element(argument)
    return argument in _LIST_ARGUMENTS or (child is not None and child.primitive)


def _require_expression(text: object, node: FieldNode | DirectiveNode) -> None:
    try:
        fhirpath.compile(str(text))
    except FhirPathError as error:
        raise Fault(f"The FHIRPath {str(text)[:80]!r} cannot be used: {error}", node) from error
