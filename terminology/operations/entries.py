"""Making an entry of an expansion from a concept: what to show, and which of its properties and extensions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from terminology.content.reading import element_value
from terminology.model.concepts import CONCEPT_PROPERTIES, CodeSystemInfo, Concept, Designation, Json, Property
from terminology.model.designations import Designations
from terminology.model.options import Options
from terminology.model.value_sets import ConceptReference
from terminology.operations.expansion import Entry, Expansion

_SD = "http://hl7.org/fhir/StructureDefinition/"
_AS_PROPERTIES = {
    _SD + "codesystem-label": ("label", "label", "string"),
    _SD + "valueset-label": ("label", "label", "string"),
    _SD + "codesystem-conceptOrder": ("order", "order", "decimal"),
    _SD + "valueset-conceptOrder": ("order", "order", "decimal"),
    _SD + "itemWeight": ("weight", "itemWeight", "decimal"),
}
"""Extensions that an expansion tells as properties: code, name of FHIR's concept property, type."""
_OF_CONCEPT = {
    _SD + name for name in ("coding-sctdescid", "rendering-style", "rendering-xhtml", "codesystem-alternate")
}
_OF_REFERENCE = _OF_CONCEPT | {
    _SD + name
    for name in ("valueset-deprecated", "valueset-concept-definition", "structuredefinition-standards-status")
}
_LANGUAGE_SYSTEM = "urn:ietf:bcp:47"


@dataclass(frozen=True, slots=True)
class Row:
    """A code of a value set before it is an entry: the concept, its system, and how the value set refers to it."""

    info: CodeSystemInfo
    concept: Concept
    reference: ConceptReference | None = None
    language: str | None = None
    """The language of the value set that refers to it."""
    parents: tuple[str, ...] = ()

    @property
    def designations(self) -> Designations:
        """The texts of the concept, and those that the value set adds."""
        texts = Designations.of(self.concept)
        if self.reference is not None:
            if self.reference.display:
                texts.items.insert(0, Designation(self.reference.display, self.language, preferred=True))
            texts.add(self.reference.designations)
        return texts


class EntryMaker:
    """Makes the entries of one expansion."""

    def __init__(self, expansion: Expansion, options: Options) -> None:
        self._expansion = expansion
        self._options = options

    def make(self, row: Row, *, with_version: bool) -> Entry:
        """Return the entry of a row."""
        concept = row.concept
        entry = Entry(
            row.info.url,
            concept.code,
            row.info.version if with_version else None,
            abstract=concept.abstract,
            inactive=concept.inactive,
        )
        self._add_texts(entry, row)
        if concept.status and concept.status.lower() != "active":
            self._declare(entry, "status", "status", "code", concept.status)
        self._add_extensions(entry, concept.extensions, _OF_CONCEPT)
        if row.reference is not None:
            self._add_extensions(entry, row.reference.extensions, _OF_REFERENCE)
        self._add_properties(entry, row)
        return entry

    def _add_texts(self, entry: Entry, row: Row) -> None:
        designations = row.designations
        shown = designations.preferred(self._options.languages)
        if shown is not None:
            entry.display = shown.value
            self._note_supplement(shown)
        if self._options.include_designations:
            for each in designations:
                if each is not shown and self._is_wanted(each) and not _repeats(each, shown):
                    entry.designations.append(each)
                    self._note_supplement(each)

    def _note_supplement(self, designation: Designation) -> None:
        if designation.source:
            self._expansion.note("used-supplement", "uri", designation.source)

    def _is_wanted(self, designation: Designation) -> bool:
        uses = self._options.designations
        use = designation.use or {}
        return not uses or any(
            (system, code) in ((use.get("system"), use.get("code")), (_LANGUAGE_SYSTEM, designation.language))
            for system, _, code in (each.partition("|") for each in uses)
        )

    def _declare(self, entry: Entry, code: str, name: str, kind: str, value: Any) -> None:
        self._expansion.declare(entry, Property(code, kind, value, f"{CONCEPT_PROPERTIES}#{name}"))

    def _add_extensions(self, entry: Entry, extensions: Iterable[Json], kept: set[str]) -> None:
        for extension in extensions:
            url, value = extension.get("url", ""), element_value(extension)
            if url in _AS_PROPERTIES and value is not None:
                self._declare(entry, *_AS_PROPERTIES[url], value)
            elif url in kept:
                others = [each for each in entry.extensions if each.get("url") != url]
                entry.extensions = [*others, extension]

    def _add_properties(self, entry: Entry, row: Row) -> None:
        names = self._options.properties
        if "definition" in names and row.concept.definition:
            self._declare(entry, "definition", "definition", "string", row.concept.definition)
        for each in row.concept.properties:
            if each.code in names or "*" in names:
                self._expansion.declare(entry, each, repeats=True)


def _repeats(designation: Designation, shown: Designation | None) -> bool:
    return (
        shown is not None
        and designation.value == shown.value
        and designation.language == shown.language
        and designation.is_display
    )
