"""The protocols through which operations ask for content, so that it may live anywhere: in memory, in a package, in a
database, in a mapped file of a million concepts.

An implementation answers from what it has; nothing here waits. Whoever keeps content in a database loads what a
request refers to first (`content.references` says what that is), or answers from a file or an index in memory.
Operations never walk a whole code system where it can answer itself: membership is asked by `code in set`, pages by
`page`, totals by `count`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from terminology.model.concept_maps import ConceptMap
from terminology.model.concepts import CodeSystemInfo, Concept, Json
from terminology.model.value_sets import ValueSet


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter of ValueSet.compose.include: `op` as in R5, so `child-of` and `descendent-leaf` too.

    https://hl7.org/fhir/R5/valueset-filter-operator.html
    """

    property: str
    op: str
    value: str


@dataclass(frozen=True, slots=True)
class Selection:
    """Which concepts of a code system: those that all filters admit, and any of whose designations (or whose code) has
    the words of `text`, each as the beginning of a word.
    """

    filters: tuple[Filter, ...] = ()
    text: str | None = None
    active_only: bool = False


class ConceptSet(Protocol):
    """Some concepts of one code system, in a fixed order, without repeats."""

    def __contains__(self, code: str, /) -> bool:
        """Whether the concept with this code, as the system writes it, is one of them."""

    def count(self) -> int | None:
        """Return how many there are, None where that costs more than a look at an index."""

    def page(self, offset: int = 0, limit: int | None = None) -> Iterator[Concept]:
        """Return the concepts from the offset on."""


class CodeSystem(Protocol):
    """A code system in one version. Codes are given as the system writes them, but for `concept`."""

    @property
    def info(self) -> CodeSystemInfo:
        """What the code system says of itself."""

    def concept(self, code: str) -> Concept | None:
        """Return the concept that a code means under the system's rules of case and grammar, None for no code."""

    def children(self, code: str | None) -> Sequence[str]:
        """Return the codes right below a code, in order; the roots below None."""

    def parents(self, code: str) -> Sequence[str]:
        """Return the codes right above a code."""

    def subsumes(self, ancestor: str, code: str) -> bool:
        """Whether the first is an ancestor of the second, or the same."""

    def understands(self, condition: Filter) -> bool:
        """Whether the code system knows what the filter means."""

    def select(self, selection: Selection) -> ConceptSet:
        """Return the concepts selected; all of them by an empty selection.

        Raises TerminologyError for a filter that is not understood, and where there is no list of what it selects.
        """


class Source(Protocol):
    """Where resources and code systems are found by url and version. The first of several versions means nothing:
    operations choose among all of them.
    """

    def code_system_versions(self, url: str) -> Sequence[str | None]:
        """Return the versions of a code system, None for one without a version; empty for an unknown url."""

    def code_system(self, url: str, version: str | None) -> CodeSystem | None:
        """Return a code system by its exact version; supplements are never returned here."""

    def supplements(self, url: str) -> Iterable[Json]:
        """Return the CodeSystem resources that supplement a code system."""

    def supplement(self, url: str, version: str | None) -> Json | None:
        """Return a supplement by its own url and, where stated, version."""

    def value_set_versions(self, url: str) -> Sequence[str | None]:
        """Return the versions of a value set, None for one without a version; empty for an unknown url."""

    def value_set(self, url: str, version: str | None) -> ValueSet | None:
        """Return a value set by its exact version; parse each resource once (`read_value_set`) and keep it."""

    def concept_map_versions(self, url: str) -> Sequence[str | None]:
        """Return the versions of a concept map, None for one without a version; empty for an unknown url."""

    def concept_map(self, url: str, version: str | None) -> ConceptMap | None:
        """Return a concept map by its exact version; parse each resource once (`read_concept_map`) and keep it."""

    def concept_maps(self, source_system: str | None, target_system: str | None) -> Iterable[ConceptMap]:
        """Return the concept maps with a group between the systems; None for any."""
