"""From the JSON of a ViewDefinition to a View; each fault names its place."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.r4.fhirpath import Expression, FhirPathError, Item
from fhir_server.r4.fhirpath.code import Code, of_constant, of_items
from fhir_server.r4.fhirpath.expression import compile_with
from fhir_server.r4.fhirpath.items import integer
from fhir_server.r4.fhirpath.types import SYSTEM_TYPES, is_fhir_type
from fhir_server.r4.views.view import Cell, Column, Selection, View, ViewError

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_MOST_PARTS = 1000
"""Columns, selections and conditions of one definition."""
_DEEPEST = 20
_CANONICAL = "http://hl7.org/fhir/StructureDefinition/"
_CONSTANT_TYPES = {
    f"value{name[0].upper()}{name[1:]}": name
    for name in (
        *("base64Binary", "boolean", "canonical", "code", "date", "dateTime", "decimal", "id", "instant", "integer"),
        *("oid", "positiveInt", "string", "time", "unsignedInt", "uri", "url", "uuid"),
    )
}
_JSON_TYPES: dict[str, tuple[type, ...]] = {"Boolean": (bool,), "Integer": (int,), "Decimal": (int, float, Decimal)}
_VIEW = frozenset({"resource", "constant", "where", "select"})
_ABOUT = frozenset(
    {
        *("resourceType", "id", "meta", "implicitRules", "language", "text", "contained", "extension", "url", "status"),
        *("identifier", "name", "title", "version", "versionAlgorithmString", "versionAlgorithmCoding", "experimental"),
        *("date", "publisher", "contact", "description", "useContext", "jurisdiction", "purpose", "copyright"),
        *("copyrightLabel", "fhirVersion", "profile", "modifierExtension"),
    }
)
_CONSTANT = frozenset({"name", *_CONSTANT_TYPES})
_WHERE = frozenset({"path", "description"})
_SELECT = frozenset({"column", "select", "forEach", "forEachOrNull", "repeat", "unionAll"})
_COLUMN = frozenset({"name", "path", "description", "collection", "type", "tag"})
_ROW_INDEX: Mapping[str, Code] = {"rowIndex": of_items(lambda this, scope: integer(scope.row), "System.Integer")}

Json = dict[str, Any]


def compile_view(definition: object) -> View:
    """Return the view of a ViewDefinition; raises ViewError, which names the place, for one that is wrong."""
    root = _object(definition, "ViewDefinition", _VIEW | _ABOUT)
    resource = _text(root, "resource", "ViewDefinition")
    if resource not in RESOURCE_TYPES:
        raise ViewError(f"{resource[:80]!r} is not a resource type of FHIR R4.", "ViewDefinition.resource")
    compiler = _Compiler(_constants(root))
    where = tuple(compiler.condition(part, place) for part, place in _parts(root, "where", "ViewDefinition"))
    selections = compiler.selections(root, "select", "ViewDefinition")
    if not selections:
        raise ViewError("A view selects something.", "ViewDefinition.select")
    select = Selection(None, False, (), (), selections, (), "ViewDefinition")
    _require_distinct(column.name for column in select.columns())
    name = root.get("name")
    return View(name if isinstance(name, str) else "", resource, where, select)


class _Compiler:
    """Compiles the parts of one definition."""

    def __init__(self, constants: Mapping[str, Code]) -> None:
        self._constants = constants
        self._left = _MOST_PARTS

    def condition(self, part: object, place: str) -> tuple[Expression, str]:
        self._count(place)
        return self._path(_object(part, place, _WHERE), "path", place), f"{place}.path"

    def selections(self, parent: Json, name: str, place: str, depth: int = 0) -> tuple[Selection, ...]:
        if depth > _DEEPEST:
            raise ViewError("The selections are nested too deeply.", place)
        return tuple(self._selection(part, where, depth) for part, where in _parts(parent, name, place))

    def _selection(self, value: object, place: str, depth: int) -> Selection:
        self._count(place)
        part = _object(value, place, _SELECT)
        over = [name for name in ("forEach", "forEachOrNull", "repeat") if name in part]
        if len(over) > 1:
            raise ViewError(f"A selection goes over one thing, not {' and '.join(over)}.", place)
        each = over[0] if over and over[0] != "repeat" else None
        selection = Selection(
            each=None if each is None else self._path(part, each, place),
            or_null=each == "forEachOrNull",
            repeat=tuple(self._expression(path, where) for path, where in _parts(part, "repeat", place)),
            cells=tuple(self._cell(cell, where) for cell, where in _parts(part, "column", place)),
            selections=self.selections(part, "select", place, depth + 1),
            union=self.selections(part, "unionAll", place, depth + 1),
            place=place if not over else f"{place}.{over[0]}",
        )
        if over == ["repeat"] and not selection.repeat:
            raise ViewError("repeat needs a path.", f"{place}.repeat")
        _require_same_columns(selection, place)
        if not selection.columns():
            raise ViewError("A selection has a column, a selection or a union.", place)
        return selection

    def _cell(self, value: object, place: str) -> Cell:
        self._count(place)
        part = _object(value, place, _COLUMN)
        name = _text(part, "name", place)
        if not _NAME.fullmatch(name) or len(name) > 255:
            raise ViewError(
                f"{name[:80]!r} is not a valid name of a column: a letter, then letters, digits and underscores.",
                f"{place}.name",
            )
        collection = part.get("collection", False)
        if not isinstance(collection, bool):
            raise ViewError("collection is true or false.", f"{place}.collection")
        return Cell(Column(name, _type(part, place), collection), self._path(part, "path", place), f"{place}.path")

    def _path(self, part: Json, name: str, place: str) -> Expression:
        return self._expression(_text(part, name, place), f"{place}.{name}")

    def _expression(self, text: object, place: str) -> Expression:
        if not isinstance(text, str) or not text:
            raise ViewError("A FHIRPath expression is a string.", place)
        try:
            return compile_with(text, self._constants)
        except FhirPathError as error:
            raise ViewError(str(error), place) from error

    def _count(self, place: str) -> None:
        self._left -= 1
        if self._left < 0:
            raise ViewError(f"A view has at most {_MOST_PARTS} columns, selections and conditions.", place)


def _constants(root: Json) -> Mapping[str, Code]:
    constants = dict(_ROW_INDEX)
    for value, place in _parts(root, "constant", "ViewDefinition"):
        part = _object(value, place, _CONSTANT)
        name = _text(part, "name", place)
        values = [property_name for property_name in part if property_name in _CONSTANT_TYPES]
        if not _NAME.fullmatch(name):
            raise ViewError(f"{name[:80]!r} is not a valid name of a constant.", f"{place}.name")
        if name in constants:
            raise ViewError(f"The constant {name[:80]} is there twice.", f"{place}.name")
        if len(values) != 1:
            raise ViewError("A constant has one value, such as valueString.", place)
        constants[name] = of_constant([_constant_item(_CONSTANT_TYPES[values[0]], part[values[0]], place)])
    return constants


def _constant_item(type_name: str, value: object, place: str) -> Item:
    kind = SYSTEM_TYPES[type_name]
    fitting = _JSON_TYPES.get(kind, (str,))
    if not isinstance(value, fitting) or (isinstance(value, bool) and kind != "Boolean"):
        raise ViewError(f"The constant's value is no {type_name}.", place)
    return Item(type_name, Decimal(str(value)) if kind == "Decimal" else value)


def _type(part: Json, place: str) -> str | None:
    if "type" not in part:
        return None
    name = _text(part, "type", place).removeprefix(_CANONICAL)
    if not is_fhir_type(name):
        raise ViewError(f"{name[:80]!r} is not a type of FHIR R4.", f"{place}.type")
    return name


def _require_same_columns(selection: Selection, place: str) -> None:
    sides = [[column.name for column in each.columns()] for each in selection.union]
    for number, names in enumerate(sides):
        if names != sides[0]:
            raise ViewError(
                f"The parts of a union have the same columns in the same order; here {', '.join(names)} stand beside "
                f"{', '.join(sides[0])}.",
                f"{place}.unionAll[{number}]",
            )


def _require_distinct(names: Iterable[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise ViewError(f"The column {name} is there {count} times.", "ViewDefinition.select")


def _object(value: object, place: str, properties: frozenset[str]) -> Json:
    if not isinstance(value, dict):
        raise ViewError("An object is expected here.", place)
    for name in value:
        if name not in properties and name.removeprefix("_") not in properties and name not in ("id", "extension"):
            raise ViewError(f"There is no {name[:80]!r} here.", place)
    return value


def _parts(parent: Json, name: str, place: str) -> list[tuple[object, str]]:
    """Return the members of a list with their places."""
    parts = parent.get(name, [])
    if not isinstance(parts, list):
        raise ViewError(f"{name} is a list.", f"{place}.{name}")
    return [(part, f"{place}.{name}[{number}]") for number, part in enumerate(parts)]


def _text(parent: Json, name: str, place: str) -> str:
    text = parent.get(name)
    if not isinstance(text, str) or not text:
        raise ViewError(f"{name} is required, and is a string.", f"{place}.{name}")
    return text
