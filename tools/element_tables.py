"""Turn StructureDefinitions into element tables: one per resource type, datatype, backbone and primitive.

https://hl7.org/fhir/R4/structuredefinition.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tools.value_set_codes import ValueSets

FHIR_TYPE = "http://hl7.org/fhir/StructureDefinition/structuredefinition-fhir-type"
SYSTEM_STRING = "http://hl7.org/fhirpath/System.String"
SIMPLE_QUANTITY = "http://hl7.org/fhir/StructureDefinition/SimpleQuantity"
MAX_VALUE_SET = "http://hl7.org/fhir/StructureDefinition/elementdefinition-maxValueSet"
NESTED = ("BackboneElement", "Element")

Json = dict[str, Any]


def tables(definitions: list[Json], value_sets: ValueSets) -> dict[str, list[Any]]:
    """Return table name -> [kind, base, elements, invariants], the form that `fhir_server.r4.definitions` decodes."""
    compiler = _Compiler(definitions, value_sets)
    return {name: compiler.table(name) for name in sorted(compiler.definitions)} | compiler.backbones


def _local(url: str) -> str:
    return url.rpartition("/")[2]


def _declared_type(type_: Json) -> str:
    for extension in type_.get("extension", ()):
        if extension["url"] == FHIR_TYPE:
            return str(extension["valueUrl"])
    return "string" if type_["code"] == SYSTEM_STRING else str(type_["code"])


def _invariants(element: Json, known: set[str]) -> list[list[str]]:
    constraints = [each for each in element.get("constraint", ()) if each["key"] not in known]
    return [[each["key"], each["severity"], each["human"], each["expression"]] for each in constraints]


class _Compiler:
    """Holds what one element table needs to know of the others."""

    def __init__(self, definitions: list[Json], value_sets: ValueSets) -> None:
        self.definitions = {
            each["name"]: each
            for each in definitions
            if each["kind"] != "logical" and (each.get("derivation") == "specialization" or "derivation" not in each)
        }
        self.simple_quantity = next(each for each in definitions if each["url"] == SIMPLE_QUANTITY)
        self.value_sets = value_sets
        self.backbones: dict[str, list[Any]] = {}
        self.primitives = {name for name, each in self.definitions.items() if each["kind"] == "primitive-type"}

    def table(self, name: str) -> list[Any]:
        definition = self.definitions[name]
        kind = {"primitive-type": "primitive", "complex-type": "datatype", "resource": "resource"}[definition["kind"]]
        base = _local(definition.get("baseDefinition", "")) or None
        return self._node(kind, base, definition["snapshot"]["element"], name)

    def _node(self, kind: str, base: str | None, snapshot: list[Json], path: str) -> list[Any]:
        root = next(each for each in snapshot if each["path"] == path)
        depth = path.count(".") + 1
        children = [
            each for each in snapshot if each["path"].startswith(path + ".") and each["path"].count(".") == depth
        ]
        elements = [
            compiled
            for child in children
            if child["max"] != "0" and not (kind == "primitive" and child["path"] == path + ".value")
            for compiled in self._element(child, snapshot)
        ]
        return [kind, base, elements, _invariants(root, set())]

    def _element(self, element: Json, snapshot: list[Json]) -> Iterator[list[Any]]:
        """Yield one row for each JSON property that the element may become."""
        name = element["path"].rpartition(".")[2]
        if "contentReference" in element:
            yield self._row(element, name, element["contentReference"][1:], None, {})
            return
        if not name.endswith("[x]"):
            yield self._row(element, name, self._type(element, snapshot), None, element["type"][0])
            return
        choice = name[:-3]
        for type_ in element["type"]:
            code = type_["code"]
            yield self._row(element, choice + code[0].upper() + code[1:], code, choice, type_)

    def _type(self, element: Json, snapshot: list[Json]) -> str:
        declared = _declared_type(element["type"][0])
        if element["base"]["path"] == "Resource.id":
            return "id"  # the package says string, but the rules of a logical id are those of the datatype id
        if declared not in NESTED:
            return declared
        path = str(element["path"])
        if path not in self.backbones:
            self.backbones[path] = []  # holds the place, so that tables stand in document order
            self.backbones[path] = self._node("backbone", declared, snapshot, path)
        return path

    def _row(self, element: Json, name: str, type_: str, choice: str | None, typed: Json) -> list[Any]:
        flags = (
            (1 if element["max"] != "1" else 0)
            | (2 if type_ in self.primitives else 0)
            | (4 if element.get("isSummary") else 0)
            | (8 if "xmlAttr" in element.get("representation", ()) else 0)
            | (16 if element.get("isModifier") else 0)
        )
        return [
            name,
            element["path"],
            type_,
            flags,
            element["min"],
            choice,
            [_local(profile) for profile in typed.get("targetProfile", ())],
            self._binding(element, type_),
            self._own_invariants(element, type_, typed),
        ]

    def _binding(self, element: Json, type_: str) -> str | None:
        """Return the name of the value set that no code may leave: of a required binding, or of the widest allowed."""
        binding = element.get("binding", {})
        if type_ not in ("code", "CodeableConcept"):
            return None
        if binding.get("strength") == "required":
            return self.value_sets.use(binding["valueSet"], with_system=type_ == "CodeableConcept")
        for extension in binding.get("extension", ()) if type_ == "code" else ():
            if extension["url"] == MAX_VALUE_SET:
                return self.value_sets.use(extension["valueCanonical"], with_system=False)
        return None

    def _own_invariants(self, element: Json, type_: str, typed: Json) -> list[list[str]]:
        """Return what the element demands beyond what the table of its type demands already."""
        root: Json = {}
        if type_ in self.definitions:
            root = self.definitions[type_]["snapshot"]["element"][0]
        elif type_ == element["path"]:
            return []  # a backbone: its table has them
        known = {each["key"] for each in root.get("constraint", ())} | {"ele-1"}
        own = _invariants(element, known)
        if SIMPLE_QUANTITY in typed.get("profile", ()):
            own += _invariants(self.simple_quantity["snapshot"]["element"][0], known)
        return own
