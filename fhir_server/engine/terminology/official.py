"""R4's own content, and code systems by rule, as sources of the library."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache

from fhir_server.engine.terminology.held import Held, Json, Memory
from fhir_server.r4 import official as r4
from fhir_server.r4.ucum import canonical, is_unit
from terminology import CodeSystem, MemorySource, ValueSet
from terminology.model.concept_maps import ConceptMap
from terminology.systems import rule_based_systems
from terminology.systems.ucum import Ucum

_ROOM = 4 * 1024 * 1024
"""Bytes of JSON of what was used last: half of all there is."""


class OfficialSource:
    """What R4 defines, read when it is asked for. No url has two versions in it.

    `is_hidden` tells what others define anew: R4's version is then no other version of it, but gone. Versions alone
    could not say so: those of R4 are years, `2018-08-12`, and what follows is `3.1.0`.
    """

    def __init__(
        self, memory: Memory, is_hidden: Callable[[str, str], bool] = lambda resource_type, url: False
    ) -> None:
        self._memory = memory
        self._is_hidden = is_hidden

    def held(self, resource_type: str, url: str) -> Held | None:
        """Return what R4 defines under a canonical URL."""
        size = r4.official_size(resource_type, url)
        if not size or self._is_hidden(resource_type, url):
            return None
        resource = self._memory.get((resource_type, url))
        if resource is None:
            resource = Held(r4.official_resource(resource_type, url) or {}, size)
            self._memory.put((resource_type, url), resource)
        return resource

    def _in_version(self, resource_type: str, url: str, version: str | None) -> Held | None:
        resource = self.held(resource_type, url)
        return resource if resource is not None and resource.version == version else None

    def _versions(self, resource_type: str, url: str) -> Sequence[str | None]:
        resource = self.held(resource_type, url)
        return [] if resource is None or resource.is_supplement else [resource.version]

    def code_system_versions(self, url: str) -> Sequence[str | None]:
        """Return the version of a code system."""
        return self._versions("CodeSystem", url)

    def code_system(self, url: str, version: str | None) -> CodeSystem | None:
        """Return a code system by its exact version."""
        resource = self._in_version("CodeSystem", url, version)
        return None if resource is None or resource.is_supplement else resource.code_system

    def supplements(self, url: str) -> Iterable[Json]:
        """Return nothing: R4 defines but an example of a supplement."""
        return ()

    def supplement(self, url: str, version: str | None) -> Json | None:
        """Return nothing."""
        return None

    def value_set_versions(self, url: str) -> Sequence[str | None]:
        """Return the version of a value set."""
        return self._versions("ValueSet", url)

    def value_set(self, url: str, version: str | None) -> ValueSet | None:
        """Return a value set by its exact version."""
        resource = self._in_version("ValueSet", url, version)
        return None if resource is None else resource.value_set

    def concept_map_versions(self, url: str) -> Sequence[str | None]:
        """Return the version of a concept map."""
        return self._versions("ConceptMap", url)

    def concept_map(self, url: str, version: str | None) -> ConceptMap | None:
        """Return a concept map by its exact version."""
        resource = self._in_version("ConceptMap", url, version)
        return None if resource is None else resource.concept_map

    def concept_maps(self, source_system: str | None, target_system: str | None) -> Iterator[ConceptMap]:
        """Return the concept maps with a group between the systems."""
        for url in r4.official_urls("ConceptMap"):
            resource = self.held("ConceptMap", url)
            if resource is not None and resource.concept_map.is_between(source_system, target_system):
                yield resource.concept_map


_MEMORY = Memory(_ROOM)


def official(is_hidden: Callable[[str, str], bool] = lambda resource_type, url: False) -> OfficialSource:
    """Return the source of what R4 defines, but for what is hidden."""
    return OfficialSource(_MEMORY, is_hidden)


@cache
def by_rule() -> MemorySource:
    """Return the source of code systems by rule: UCUM, languages, countries, currencies, MIME types."""
    return MemorySource(code_systems=[*rule_based_systems(), Ucum(is_unit, _canonical_unit)])


def _canonical_unit(code: str) -> str | None:
    quantity = canonical(code)
    return None if quantity is None else quantity.unit
