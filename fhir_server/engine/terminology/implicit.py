"""Value sets that a URL means by itself, as a source of the library."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from terminology import CodeSystem, ValueSet, read_value_set
from terminology.model.concept_maps import ConceptMap
from terminology.model.concepts import Json
from terminology.systems.implicit import implicit_value_set


@lru_cache(maxsize=256)
def _value_set(url: str) -> ValueSet | None:
    resource = implicit_value_set(url)
    return None if resource is None else read_value_set(resource)


class ImplicitSource:
    """The implicit value sets of SNOMED CT and LOINC, whatever of these is loaded."""

    def value_set_versions(self, url: str) -> Sequence[str | None]:
        """Return that there is one, without a version."""
        return [] if _value_set(url) is None else [None]

    def value_set(self, url: str, version: str | None) -> ValueSet | None:
        """Return the value set that a url means."""
        return _value_set(url) if version is None else None

    def code_system_versions(self, url: str) -> Sequence[str | None]:
        """Return nothing."""
        return ()

    def code_system(self, url: str, version: str | None) -> CodeSystem | None:
        """Return nothing."""
        return None

    def supplements(self, url: str) -> Iterable[Json]:
        """Return nothing."""
        return ()

    def supplement(self, url: str, version: str | None) -> Json | None:
        """Return nothing."""
        return None

    def concept_map_versions(self, url: str) -> Sequence[str | None]:
        """Return nothing."""
        return ()

    def concept_map(self, url: str, version: str | None) -> ConceptMap | None:
        """Return nothing."""
        return None

    def concept_maps(self, source_system: str | None, target_system: str | None) -> Iterable[ConceptMap]:
        """Return nothing."""
        return ()
