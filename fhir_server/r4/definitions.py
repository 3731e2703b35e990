"""The official FHIR R4 (4.0.1) package as tables: types, code sets, search parameters, compartments, operations.

The files in `data/` are made by `tools/compile_definitions.py`. Everything is decoded at its first use, a table at a
time, so that a process pays only for the types it meets. https://hl7.org/fhir/R4/downloads.html
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from functools import cache, cached_property
from importlib.resources import files
from typing import Literal

import msgspec

Kind = Literal["resource", "datatype", "backbone", "primitive"]


class Invariant(msgspec.Struct, frozen=True, array_like=True):
    """A rule that an element or type must hold: `severity` is error or warning, `expression` a FHIRPath."""

    key: str
    severity: str
    human: str
    expression: str


class Element(msgspec.Struct, frozen=True, array_like=True, dict=True):
    """One JSON property of a type; a choice element stands once for each type it may have.

    `min` of a choice counts for all its properties together. `targets` are the types that a Reference or canonical may
    point to. `binding` names the value set that its codes may not leave. `invariants` are those of the element itself,
    beyond those of its type's table.
    """

    name: str
    path: str
    type: str
    flags: int
    min: int
    choice: str | None
    targets: tuple[str, ...]
    binding: str | None
    invariants: tuple[Invariant, ...]

    @property
    def many(self) -> bool:
        """Whether the element repeats, and so is an array in JSON."""
        return bool(self.flags & 1)

    @property
    def primitive(self) -> bool:
        """Whether the element's type is a primitive, xhtml included."""
        return bool(self.flags & 2)

    @property
    def summary(self) -> bool:
        """Whether the element belongs to `_summary=true`."""
        return bool(self.flags & 4)

    @property
    def attribute(self) -> bool:
        """Whether the element is an XML attribute, and so can have no extensions."""
        return bool(self.flags & 8)

    @property
    def modifier(self) -> bool:
        """Whether the element may change the meaning of what contains it."""
        return bool(self.flags & 16)

    @cached_property
    def codes(self) -> frozenset[str] | None:
        """The codes that a required binding allows, where the package can enumerate them; None where all are allowed.

        A code for an element of type code, `system|code` for a CodeableConcept.
        """
        return None if self.binding is None else code_set(self.binding)


class Table(msgspec.Struct, frozen=True):
    """A type: its elements by JSON property, in the order of the specification.

    `base` is the type it specialises: of `Age` it is `Quantity`, of `Patient` `DomainResource`, of a backbone
    `BackboneElement` or `Element`. `invariants` hold for every instance of the type.
    """

    name: str
    kind: Kind
    base: str | None
    elements: dict[str, Element]
    invariants: tuple[Invariant, ...]


class Component(msgspec.Struct, frozen=True, array_like=True):
    """One part of a composite search parameter; `definition` is the canonical of another parameter."""

    definition: str
    expression: str


class SearchParameter(msgspec.Struct, frozen=True, array_like=True):
    """A search parameter as published. https://hl7.org/fhir/R4/searchparameter.html"""

    code: str
    url: str
    name: str
    type: str
    base: tuple[str, ...]
    expression: str
    target: tuple[str, ...] = ()
    component: tuple[Component, ...] = ()
    xpathUsage: str = ""
    multipleOr: bool = True
    multipleAnd: bool = True
    comparator: tuple[str, ...] = ()
    modifier: tuple[str, ...] = ()
    chain: tuple[str, ...] = ()


class OperationParameter(msgspec.Struct, frozen=True, array_like=True):
    """A parameter of an operation; `max` is a number or `*`, `part` is there where it has no type of its own."""

    name: str
    use: str
    min: int
    max: str
    type: str | None
    searchType: str | None
    targetProfile: tuple[str, ...]
    part: tuple[OperationParameter, ...]


class Operation(msgspec.Struct, frozen=True, array_like=True):
    """An operation as published. https://hl7.org/fhir/R4/operationdefinition.html"""

    name: str
    code: str
    url: str
    resource: tuple[str, ...]
    system: bool
    type: bool
    instance: bool
    affectsState: bool
    parameter: tuple[OperationParameter, ...]


class _StoredTable(msgspec.Struct, frozen=True, array_like=True):
    kind: Kind
    base: str | None
    elements: tuple[Element, ...]
    invariants: tuple[Invariant, ...]


def _read(name: str) -> bytes:
    return gzip.decompress(files("fhir_server.r4").joinpath("data", name).read_bytes())


_stored_tables = msgspec.json.decode(_read("tables.json.gz"), type=dict[str, msgspec.Raw])
_table_decoder = msgspec.json.Decoder(_StoredTable)

TABLE_NAMES: tuple[str, ...] = tuple(_stored_tables)
"""Every table there is, sorted within types; backbones follow the types."""

RESOURCE_TYPES: frozenset[str] = frozenset(
    name for name, raw in _stored_tables.items() if bytes(memoryview(raw)[:12]) == b'["resource",'
) - {"Resource", "DomainResource"}
"""The 146 resource types that can be stored: all but the abstract Resource and DomainResource."""


@cache
def table(name: str) -> Table:
    """Return the table of a type ("Patient", "HumanName", "string") or backbone ("Patient.contact").

    Raises KeyError for a name that R4 does not have.
    """
    stored = _table_decoder.decode(_stored_tables[name])
    elements = {element.name: element for element in stored.elements}
    return Table(name, stored.kind, stored.base, elements, stored.invariants)


@cache
def _stored_codes() -> dict[str, tuple[str, ...]]:
    return msgspec.json.decode(_read("codes.json.gz"), type=dict[str, tuple[str, ...]])


@cache
def code_set(binding: str) -> frozenset[str] | None:
    """Return the codes of a value set by the name that `Element.binding` gives it; None if the package lacks them."""
    codes = _stored_codes().get(binding)
    return None if codes is None else frozenset(codes)


@cache
def _stored_systems() -> dict[str, dict[str, tuple[str, ...]]]:
    return msgspec.json.decode(_read("code_systems.json.gz"), type=dict[str, dict[str, tuple[str, ...]]])


@cache
def code_systems(binding: str) -> Mapping[str, frozenset[str]]:
    """Return the systems that the codes of a value set are from, each with its codes, by the name of the value set.

    So an element of type code has a system that it does not state. Empty where the package cannot enumerate the codes.
    """
    systems = _stored_systems().get(binding, {})
    return {system: frozenset(codes) or code_set(binding) or frozenset() for system, codes in systems.items()}


@cache
def search_parameters() -> tuple[SearchParameter, ...]:
    """Return the 1,375 search parameters of the specification, sorted by their canonical URL."""
    return msgspec.json.decode(_read("search_parameters.json.gz"), type=tuple[SearchParameter, ...])


@cache
def _compartments() -> dict[str, dict[str, tuple[str, ...]]]:
    return msgspec.json.decode(_read("compartments.json.gz"), type=dict[str, dict[str, tuple[str, ...]]])


def compartment(name: str) -> Mapping[str, tuple[str, ...]]:
    """Return, for each resource type that can be in the compartment, the search parameters that put it there.

    A parameter refers to the compartment's focus; `_id` says that the resource is the focus itself (`{def}` in the
    package, which only Encounter, Practitioner and RelatedPerson state). Raises KeyError where `name` is none of
    Patient, Encounter, Practitioner, RelatedPerson and Device. https://hl7.org/fhir/R4/compartmentdefinition.html
    """
    return _compartments()[name]


@cache
def operations() -> tuple[Operation, ...]:
    """Return the 46 operations of the specification, sorted by their canonical URL."""
    return msgspec.json.decode(_read("operations.json.gz"), type=tuple[Operation, ...])


@cache
def profiles() -> Mapping[str, tuple[str, ...]]:
    """Return the canonical URLs of the specification's own profiles by the resource type that they constrain."""
    return msgspec.json.decode(_read("profiles.json.gz"), type=dict[str, tuple[str, ...]])
