"""Concept maps, as their resources define them, of R4 or of R5. https://hl7.org/fhir/R4/conceptmap.html"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from terminology.model.concepts import Json
from terminology.model.versions import canonical, split

RELATIONSHIPS = {
    "relatedto": "related-to",
    "equivalent": "equivalent",
    "equal": "equivalent",
    "wider": "source-is-narrower-than-target",
    "subsumes": "source-is-narrower-than-target",
    "narrower": "source-is-broader-than-target",
    "specializes": "source-is-broader-than-target",
    "inexact": "related-to",
    "unmatched": "not-related-to",
    "disjoint": "not-related-to",
}
"""The relationships of R5 by the equivalences of R4."""
EQUIVALENCES = {
    "related-to": "relatedto",
    "equivalent": "equivalent",
    "source-is-narrower-than-target": "wider",
    "source-is-broader-than-target": "narrower",
    "not-related-to": "disjoint",
}
INVERSE = {
    "wider": "narrower",
    "narrower": "wider",
    "subsumes": "specializes",
    "specializes": "subsumes",
}
NO_MATCH = {"unmatched", "disjoint"}


@dataclass(frozen=True, slots=True)
class Dependency:
    """What a mapping depends on, or produces beside its code: an element or property, and a code."""

    name: str
    system: str | None
    value: str


@dataclass(frozen=True, slots=True)
class Mapping:
    """One target of a code; without `target` the map says that there is none."""

    code: str
    display: str | None
    target: str | None
    target_display: str | None
    equivalence: str
    comment: str | None = None
    depends_on: tuple[Dependency, ...] = ()
    products: tuple[Dependency, ...] = ()


@dataclass(frozen=True, slots=True)
class Unmapped:
    """What to do with a code that a group says nothing of: `provided`, `fixed` or `other-map`."""

    mode: str
    code: str | None
    display: str | None
    other_map: str | None
    equivalence: str


class Group(Protocol):
    """The mappings between two code systems, found by their codes."""

    @property
    def source(self) -> str | None:
        """The system translated from."""

    @property
    def source_version(self) -> str | None:
        """Its version, None for any."""

    @property
    def target(self) -> str | None:
        """The system translated to."""

    @property
    def target_version(self) -> str | None:
        """Its version, None for any."""

    @property
    def unmapped(self) -> Unmapped | None:
        """What to do with codes that the group says nothing of."""

    def from_source(self, code: str) -> Sequence[Mapping]:
        """Return the mappings of a code."""

    def from_target(self, code: str) -> Sequence[Mapping]:
        """Return the mappings to a code."""


class ResourceGroup:
    """A group of a ConceptMap resource, indexed when it is first asked."""

    def __init__(self, resource: Json) -> None:
        self.source, source_version = _canonical(resource.get("source"))
        self.target, target_version = _canonical(resource.get("target"))
        self.source_version = resource.get("sourceVersion") or source_version
        self.target_version = resource.get("targetVersion") or target_version
        self.unmapped = _unmapped(resource.get("unmapped"))
        self._elements: list[Json] = resource.get("element", [])
        self._by_source: dict[str, list[Mapping]] | None = None
        self._by_target: dict[str, list[Mapping]] | None = None

    def mappings(self) -> Iterator[Mapping]:
        """Return all mappings."""
        for element in self._elements:
            yield from _mappings(element)

    def from_source(self, code: str) -> Sequence[Mapping]:
        """Return the mappings of a code."""
        if self._by_source is None:
            self._by_source = _index((each.code, each) for each in self.mappings())
        return self._by_source.get(code, ())

    def from_target(self, code: str) -> Sequence[Mapping]:
        """Return the mappings to a code."""
        if self._by_target is None:
            self._by_target = _index((each.target, each) for each in self.mappings() if each.target)
        return self._by_target.get(code, ())


def _index(pairs: Iterable[tuple[str, Mapping]]) -> dict[str, list[Mapping]]:
    by_code: dict[str, list[Mapping]] = {}
    for code, mapping in pairs:
        by_code.setdefault(code, []).append(mapping)
    return by_code


@dataclass(frozen=True, slots=True)
class ConceptMap:
    """A concept map, with the value sets that it is from and to."""

    url: str
    version: str | None
    source_scope: str | None
    target_scope: str | None
    groups: tuple[Group, ...]

    @property
    def canonical(self) -> str:
        """`url|version`, or the url alone."""
        return canonical(self.url, self.version)

    def is_between(self, source_system: str | None, target_system: str | None) -> bool:
        """Whether a group translates from the one system to the other; None for any."""
        return any(
            source_system in (None, each.source) and target_system in (None, each.target) for each in self.groups
        )


def read_concept_map(resource: Json) -> ConceptMap:
    """Return the concept map that a resource defines."""
    return ConceptMap(
        resource.get("url", ""),
        resource.get("version"),
        _first(resource, "sourceUri", "sourceCanonical", "sourceScopeUri", "sourceScopeCanonical"),
        _first(resource, "targetUri", "targetCanonical", "targetScopeUri", "targetScopeCanonical"),
        tuple(map(ResourceGroup, resource.get("group", ()))),
    )


def _first(resource: Json, *names: str) -> str | None:
    return next((str(resource[name]) for name in names if resource.get(name)), None)


def _canonical(reference: str | None) -> tuple[str | None, str | None]:
    url, version = split(reference or "")
    return url or None, version


def _unmapped(element: Json | None) -> Unmapped | None:
    if not element:
        return None
    stated = str(element.get("mode", ""))
    mode = {"use-source-code": "provided"}.get(stated, stated)
    other = element.get("otherMap") or element.get("url")
    return Unmapped(mode, element.get("code"), element.get("display"), other, _equivalence(element, "relatedto"))


def _equivalence(element: Json, default: str) -> str:
    if element.get("equivalence"):
        return str(element["equivalence"])
    return EQUIVALENCES.get(element.get("relationship", ""), default)


def _mappings(element: Json) -> Iterator[Mapping]:
    code, display = element.get("code", ""), element.get("display")
    targets = element.get("target", ())
    if not targets:
        yield Mapping(code, display, None, None, "unmatched")
    for target in targets:
        yield Mapping(
            code,
            display,
            target.get("code"),
            target.get("display"),
            _equivalence(target, "equivalent"),
            target.get("comment"),
            tuple(map(_dependency, target.get("dependsOn", ()))),
            tuple(map(_dependency, target.get("product", ()))),
        )


def _dependency(element: Json) -> Dependency:
    coding = element.get("valueCoding") or {}
    values = [value for name, value in element.items() if name.startswith("value") and not isinstance(value, dict)]
    value = coding.get("code") or (values[0] if values else "")
    name = element.get("property") or element.get("attribute") or ""
    return Dependency(str(name), element.get("system") or coding.get("system"), str(value))
