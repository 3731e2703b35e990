"""What an expansion is: its entries, the parameters that tell how it came about, and the properties it declares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from terminology.model.concepts import Designation, Json, Property
from terminology.model.value_sets import ValueSet

UNCLOSED = "http://hl7.org/fhir/StructureDefinition/valueset-unclosed"
UNCLOSED_REASON = "http://hl7.org/fhir/StructureDefinition/valueset-unclosed-reason"


@dataclass(slots=True)
class Entry:
    """One code of an expansion, with those below it."""

    system: str
    code: str
    version: str | None = None
    display: str | None = None
    abstract: bool = False
    inactive: bool = False
    designations: list[Designation] = field(default_factory=list)
    properties: list[Property] = field(default_factory=list)
    extensions: list[Json] = field(default_factory=list)
    contains: list[Entry] = field(default_factory=list)

    def walk(self) -> Iterator[Entry]:
        """Return the entry and those below it."""
        waiting = [self]
        while waiting:
            entry = waiting.pop()
            yield entry
            waiting.extend(reversed(entry.contains))


@dataclass(slots=True)
class Expansion:
    """The codes of a value set, or a page of them; `total` is None where counting would cost too much."""

    value_set: ValueSet
    contains: list[Entry] = field(default_factory=list)
    total: int | None = None
    offset: int | None = None
    parameters: list[tuple[str, str, Any]] = field(default_factory=list)
    """Name, FHIR type and value of each parameter."""
    properties: dict[str, str | None] = field(default_factory=dict)
    """The uris of the properties that entries have, by code."""
    unclosed_reasons: list[str] = field(default_factory=list)
    include_definition: bool = False

    def note(self, name: str, kind: str, value: Any) -> None:
        """Add a parameter, unless it is there."""
        if (name, kind, value) not in self.parameters:
            self.parameters.append((name, kind, value))

    def unclosed(self, reason: str) -> None:
        """Note why the value set has more codes than can be listed."""
        if reason not in self.unclosed_reasons:
            self.unclosed_reasons.append(reason)

    def declare(self, entry: Entry, added: Property, *, repeats: bool = False) -> None:
        """Add a property to an entry, in place of one with the same code unless the code system repeats it."""
        if added.uri or added.code not in self.properties:
            self.properties[added.code] = added.uri
        if not repeats:
            entry.properties = [each for each in entry.properties if each.code != added.code]
        if added not in entry.properties:
            entry.properties.append(added)

    def entries(self) -> Iterator[Entry]:
        """Return all entries, nested ones too."""
        for entry in self.contains:
            yield from entry.walk()
