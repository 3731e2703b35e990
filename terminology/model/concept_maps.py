"""Concept maps, as their resources define them, of R4 or of R5. https://hl7.org/fhir/R4/conceptmap.html"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Group:
    """The mappings between two code systems."""

    source: str | None
    source_version: str | None
    target: str | None
    target_version: str | None
    elements: tuple[Json, ...]
    unmapped: Unmapped | None

    def mappings(self) -> Iterator[Mapping]:
        """Return all mappings."""
        for element in self.elements:
            yield from _mappings(element)


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


def read_concept_map(resource: Json) -> ConceptMap:
    """Return the concept map that a resource defines."""
    return ConceptMap(
        resource.get("url", ""),
        resource.get("version"),
        _first(resource, "sourceUri", "sourceCanonical", "sourceScopeUri", "sourceScopeCanonical"),
        _first(resource, "targetUri", "targetCanonical", "targetScopeUri", "targetScopeCanonical"),
        tuple(map(_group, resource.get("group", ()))),
    )


def _first(resource: Json, *names: str) -> str | None:
    return next((str(resource[name]) for name in names if resource.get(name)), None)


def _group(group: Json) -> Group:
    source, source_version = split(group.get("source") or "")
    target, target_version = split(group.get("target") or "")
    stated = group.get("unmapped")
    unmapped = None
    if stated:
        mode = {"use-source-code": "provided"}.get(stated.get("mode", ""), stated.get("mode", ""))
        other = stated.get("otherMap") or stated.get("url")
        unmapped = Unmapped(mode, stated.get("code"), stated.get("display"), other, _equivalence(stated, "relatedto"))
    return Group(
        source or None,
        group.get("sourceVersion") or source_version,
        target or None,
        group.get("targetVersion") or target_version,
        tuple(group.get("element", ())),
        unmapped,
    )


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
