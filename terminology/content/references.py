"""What a resource refers to, so that a source can load it before an operation asks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from terminology.model.concept_maps import read_concept_map
from terminology.model.concepts import Json
from terminology.model.value_sets import read_value_set


@dataclass(frozen=True, slots=True)
class Reference:
    """A canonical reference: `type` is CodeSystem, ValueSet or ConceptMap, `url` may have a version after a bar."""

    type: str
    url: str


def references(resource: Json) -> set[Reference]:
    """Return the canonicals that a ValueSet, a ConceptMap or a supplement refers to, without those contained in it."""
    match resource.get("resourceType"):
        case "ValueSet":
            canonicals = _of_value_set(resource)
        case "ConceptMap":
            canonicals = _of_concept_map(resource)
        case "CodeSystem":
            canonicals = (Reference("CodeSystem", resource.get("supplements", "")) for _ in (0,))
        case _:
            canonicals = iter(())
    return {each for each in canonicals if each.url and not each.url.startswith("#")}


def _of_value_set(resource: Json) -> Iterator[Reference]:
    value_set = read_value_set(resource)
    for part in (*value_set.includes, *value_set.excludes):
        if part.system:
            yield Reference("CodeSystem", f"{part.system}|{part.version}" if part.version else part.system)
        yield from (Reference("ValueSet", each) for each in part.value_sets)
    yield from (Reference("CodeSystem", each) for each in value_set.supplements)
    for contained in resource.get("contained", ()):
        yield from references(contained)


def _of_concept_map(resource: Json) -> Iterator[Reference]:
    concept_map = read_concept_map(resource)
    for scope in (concept_map.source_scope, concept_map.target_scope):
        yield Reference("ValueSet", scope or "")
    for group in concept_map.groups:
        yield from (Reference("CodeSystem", each or "") for each in (group.source, group.target))
        if group.unmapped and group.unmapped.other_map:
            yield Reference("ConceptMap", group.unmapped.other_map)
