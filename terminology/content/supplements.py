"""Supplements: what they add to the concepts of a code system.

https://hl7.org/fhir/R4/codesystem.html#supplements
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

from terminology.content import filters, text
from terminology.content.provider import CodeSystem, ConceptSet, Filter, Selection
from terminology.content.reading import (
    SUPPLEMENT_TYPE,
    extension_value,
    read_designations,
    read_display,
    read_properties,
    read_property_definitions,
)
from terminology.model.concepts import CodeSystemInfo, Concept, Designation, Json
from terminology.model.versions import canonical


def is_language_pack(resource: Json) -> bool:
    """Whether a supplement is a language pack, which is used without being asked for."""
    return bool(extension_value(resource, SUPPLEMENT_TYPE) == "lang-pack")


class Supplement:
    """A CodeSystem resource whose content is `supplement`."""

    def __init__(self, resource: Json) -> None:
        self.canonical = canonical(resource.get("url", ""), resource.get("version"))
        self.properties = read_property_definitions(resource)
        self._language = resource.get("language")
        self._concepts: dict[str, Json] = {}
        waiting = list(resource.get("concept", ()))
        while waiting:
            concept = waiting.pop()
            if isinstance(concept.get("code"), str):
                self._concepts[concept["code"]] = concept
            waiting.extend(concept.get("concept", ()))

    @property
    def codes(self) -> Sequence[str]:
        """The codes that it says something of."""
        return list(self._concepts)

    def add_to(self, concept: Concept) -> Concept:
        """Return the concept with what the supplement says of it."""
        supplement = self._concepts.get(concept.code)
        if supplement is None:
            return concept
        return replace(
            concept,
            designations=(*concept.designations, *self._designations(supplement)),
            properties=(*concept.properties, *read_properties(supplement, self.properties)),
            extensions=(*concept.extensions, *supplement.get("extension", ())),
        )

    def _designations(self, concept: Json) -> Iterator[Designation]:
        if concept.get("display"):
            yield replace(read_display(concept["display"], self._language), source=self.canonical)
        yield from read_designations(concept, self.canonical)


class SupplementedCodeSystem:
    """A code system with supplements; it adds no codes, but properties to filter by and texts to find."""

    def __init__(self, base: CodeSystem, supplements: Sequence[Supplement]) -> None:
        self._base = base
        self._supplements = supplements
        definitions = [each for supplement in supplements for each in supplement.properties]
        self._added = {each.code for each in definitions}
        self._info = replace(
            base.info,
            properties=(*base.info.properties, *definitions),
            supplements=tuple(each.canonical for each in supplements),
        )

    @property
    def info(self) -> CodeSystemInfo:
        """What the code system says of itself, and the supplements that were added."""
        return self._info

    def concept(self, code: str) -> Concept | None:
        """Return the concept that a code means, with what supplements say of it."""
        base = self._base.concept(code)
        return None if base is None else self.supplemented(base)

    def supplemented(self, concept: Concept) -> Concept:
        """Return the concept with what supplements say of it."""
        for supplement in self._supplements:
            concept = supplement.add_to(concept)
        return concept

    def children(self, code: str | None) -> Sequence[str]:
        """Return the codes right below a code."""
        return self._base.children(code)

    def parents(self, code: str) -> Sequence[str]:
        """Return the codes right above a code."""
        return self._base.parents(code)

    def subsumes(self, ancestor: str, code: str) -> bool:
        """Whether the first is an ancestor of the second, or the same."""
        return self._base.subsumes(ancestor, code)

    def understands(self, condition: Filter) -> bool:
        """Whether the filter has a meaning here, or in a supplement."""
        return self._base.understands(condition) or filters.understands(condition, self._added)

    def select(self, selection: Selection) -> ConceptSet:
        """Return the concepts selected. Filters by what supplements added look at the codes that they speak of."""
        ours = tuple(each for each in selection.filters if each.property in self._added)
        theirs = tuple(each for each in selection.filters if each.property not in self._added)
        base = self._base.select(Selection(theirs, None, selection.active_only))
        tests: list[Callable[[Concept], bool]] = [filters.concept_test(each, self) for each in ours]
        if selection.text is not None:
            searched = text.words(selection.text)
            tests.append(lambda concept: text.matches(concept, searched))
        return SupplementedSet(base, self, tests)


class SupplementedSet:
    """Some concepts of a code system with supplements, that pass tests of what supplements say."""

    def __init__(
        self, base: ConceptSet, system: SupplementedCodeSystem, tests: Sequence[Callable[[Concept], bool]]
    ) -> None:
        self._base = base
        self._system = system
        self._tests = tests

    def __contains__(self, code: str) -> bool:
        if code not in self._base:
            return False
        concept = self._system.concept(code)
        return concept is not None and all(test(concept) for test in self._tests)

    def count(self) -> int | None:
        """Return how many there are."""
        return sum(1 for _ in self._passing()) if self._tests else self._base.count()

    def page(self, offset: int = 0, limit: int | None = None) -> Iterator[Concept]:
        """Return the concepts from the offset on."""
        if not self._tests:
            return map(self._system.supplemented, self._base.page(offset, limit))
        return islice(self._passing(), offset, None if limit is None else offset + limit)

    def _passing(self) -> Iterator[Concept]:
        for concept in map(self._system.supplemented, self._base.page()):
            if all(test(concept) for test in self._tests):
                yield concept
