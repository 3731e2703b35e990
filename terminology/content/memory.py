"""Sources that hold resources in memory, and sources one above the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from terminology.content.code_systems import ResourceCodeSystem
from terminology.content.provider import CodeSystem, Source
from terminology.content.reading import read_info
from terminology.model.concept_maps import ConceptMap, read_concept_map
from terminology.model.concepts import Json
from terminology.model.value_sets import ValueSet, read_value_set, value_set_of
from terminology.model.versions import split

_Versions = dict[str | None, Json]


class MemorySource:
    """CodeSystem, ValueSet and ConceptMap resources by url and version; of two with the same the later counts, but both
    of two concept maps.

    `code_systems` are those that no resource lists. Of content `not-present` and `example` a resource tells what a
    system is, but not its codes.
    """

    def __init__(self, resources: Iterable[Json] = (), code_systems: Iterable[CodeSystem] = ()) -> None:
        self._resources: dict[str, dict[str, _Versions]] = {"CodeSystem": {}, "ValueSet": {}, "ConceptMap": {}}
        self._value_sets: dict[tuple[str, str | None], ValueSet] = {}
        self._maps: list[ConceptMap] = []
        self._whole: dict[str, _Versions] = {}
        self._systems: dict[tuple[str, str | None], CodeSystem] = {}
        self._supplements: dict[str, list[Json]] = {}
        self._supplements_by_url: dict[str, _Versions] = {}
        for resource in resources:
            self.add(resource)
        for system in code_systems:
            self.add_code_system(system)

    def add(self, resource: Json) -> None:
        """Add a resource; one of another type, or without url, is left out."""
        by_url = self._resources.get(resource.get("resourceType", ""))
        url = resource.get("url")
        if by_url is None or not isinstance(url, str):
            return
        if resource["resourceType"] == "CodeSystem" and resource.get("content") == "supplement":
            self._supplements.setdefault(split(resource.get("supplements", ""))[0], []).append(resource)
            self._supplements_by_url.setdefault(url, {})[resource.get("version")] = resource
        else:
            by_url.setdefault(url, {})[resource.get("version")] = resource
            self._value_sets.pop((url, resource.get("version")), None)
            if resource["resourceType"] == "CodeSystem" and resource.get("valueSet"):
                self._whole.setdefault(split(resource["valueSet"])[0], {})[resource.get("version")] = resource
            if resource["resourceType"] == "ConceptMap":
                self._maps.append(read_concept_map(resource))
            self._systems.pop((url, resource.get("version")), None)

    def add_code_system(self, system: CodeSystem) -> None:
        """Add a code system that no resource lists."""
        self._systems[system.info.url, system.info.version] = system

    def code_system_versions(self, url: str) -> Sequence[str | None]:
        """Return the versions of a code system."""
        listed = [version for other, version in self._systems if other == url]
        return list(dict.fromkeys([*self._resources["CodeSystem"].get(url, ()), *listed]))

    def code_system(self, url: str, version: str | None) -> CodeSystem | None:
        """Return a code system by its exact version."""
        system = self._systems.get((url, version))
        if system is None and (resource := self._resources["CodeSystem"].get(url, {}).get(version)):
            system = self._systems[url, version] = ResourceCodeSystem(resource)
        return system

    def supplements(self, url: str) -> Iterable[Json]:
        """Return the CodeSystem resources that supplement a code system."""
        return self._supplements.get(url, ())

    def supplement(self, url: str, version: str | None) -> Json | None:
        """Return a supplement by its own url and, where stated, version."""
        versions = self._supplements_by_url.get(url, {})
        return versions.get(version) if version else next(reversed(versions.values()), None)

    def value_set_versions(self, url: str) -> Sequence[str | None]:
        """Return the versions of a value set, or of the code system all of whose codes it is by its own word."""
        return list(self._resources["ValueSet"].get(url, ())) or list(self._whole.get(url, ()))

    def value_set(self, url: str, version: str | None) -> ValueSet | None:
        """Return a value set by its exact version."""
        read = self._value_sets.get((url, version))
        if read is None and (resource := self._resources["ValueSet"].get(url, {}).get(version)):
            read = self._value_sets[url, version] = read_value_set(resource)
        if read is None and (resource := self._whole.get(url, {}).get(version)):
            read = value_set_of(read_info(resource))
        return read

    def concept_map_versions(self, url: str) -> Sequence[str | None]:
        """Return the versions of a concept map."""
        return list(self._resources["ConceptMap"].get(url, ()))

    def concept_map(self, url: str, version: str | None) -> ConceptMap | None:
        """Return a concept map by its exact version."""
        return next((each for each in reversed(self._maps) if (each.url, each.version) == (url, version)), None)

    def concept_maps(self, source_system: str | None, target_system: str | None) -> Iterator[ConceptMap]:
        """Return the concept maps with a group between the systems."""
        return (each for each in self._maps if each.is_between(source_system, target_system))


class LayeredSource:
    """Sources one above the other: a resource of an upper one hides the same url and version of a lower one, and
    their versions stand beside each other.
    """

    def __init__(self, *sources: Source) -> None:
        self._sources = sources

    def code_system_versions(self, url: str) -> Sequence[str | None]:
        """Return the versions of a code system."""
        return list(dict.fromkeys(chain.from_iterable(each.code_system_versions(url) for each in self._sources)))

    def code_system(self, url: str, version: str | None) -> CodeSystem | None:
        """Return a code system by its exact version."""
        return next((system for each in self._sources if (system := each.code_system(url, version))), None)

    def supplements(self, url: str) -> Iterable[Json]:
        """Return the supplements of a code system, one of each url and version."""
        every = chain.from_iterable(each.supplements(url) for each in reversed(self._sources))
        return {(each.get("url"), each.get("version")): each for each in every}.values()

    def supplement(self, url: str, version: str | None) -> Json | None:
        """Return a supplement by its own url and, where stated, version."""
        return next((resource for each in self._sources if (resource := each.supplement(url, version))), None)

    def value_set_versions(self, url: str) -> Sequence[str | None]:
        """Return the versions of a value set."""
        return list(dict.fromkeys(chain.from_iterable(each.value_set_versions(url) for each in self._sources)))

    def value_set(self, url: str, version: str | None) -> ValueSet | None:
        """Return a value set by its exact version."""
        return next((read for each in self._sources if (read := each.value_set(url, version))), None)

    def concept_map_versions(self, url: str) -> Sequence[str | None]:
        """Return the versions of a concept map."""
        return list(dict.fromkeys(chain.from_iterable(each.concept_map_versions(url) for each in self._sources)))

    def concept_map(self, url: str, version: str | None) -> ConceptMap | None:
        """Return a concept map by its exact version."""
        return next((read for each in self._sources if (read := each.concept_map(url, version))), None)

    def concept_maps(self, source_system: str | None, target_system: str | None) -> Iterator[ConceptMap]:
        """Return the concept maps between the systems, without those that an upper source hides."""
        hidden: set[tuple[str | None, str | None]] = set()
        for source in self._sources:
            maps = list(source.concept_maps(source_system, target_system))
            yield from (each for each in maps if (each.url, each.version) not in hidden)
            hidden.update((each.url, each.version) for each in maps)
