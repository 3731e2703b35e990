"""Which codes a value set selects: the rule that expansion, validation and search share.

A code is a member where an include admits it (it is of the include's system, among its concepts, passes its filters,
and is in all of the value sets it names) and no exclude does. Nothing here walks a code system: each question is put
to the code system itself. https://hl7.org/fhir/R4/valueset.html#compositions
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from terminology.content.provider import CodeSystem, ConceptSet, Filter, Selection, Source
from terminology.model.concepts import Concept, Json
from terminology.model.issues import TerminologyError, issue
from terminology.model.options import Options
from terminology.model.value_sets import ConceptReference, Include, ValueSet
from terminology.operations.context import Context, unresolved_value_set

_MOST_FILTERS = 100
_STEPS_A_SET = 100
_ENTRIES_A_STEP = 10
"""Entries of a stored expansion that cost as much to look at as one step of other work."""


@dataclass(frozen=True, slots=True)
class Member:
    """A code in the version of its system in which a value set has it."""

    system: str
    version: str | None
    code: str


class Selector:
    """The selections of the value sets of one request, each prepared once."""

    def __init__(self, context: Context) -> None:
        self._context = context
        # Keys are identities, so what they identify is kept beside the value: it lives as long as the key.
        self._sets: dict[tuple[str, int, str | None, bool], tuple[Include, ConceptSet]] = {}
        self._references: dict[int, tuple[Include, dict[str, ConceptReference]]] = {}
        self._versioned: dict[int, tuple[ValueSet, bool]] = {}
        self._imports: dict[tuple[str, int], tuple[ValueSet, ValueSet | None]] = {}

    # --- Parts of a value set ----------------------------------------------------------------------------------

    def imported(self, reference: str, within: ValueSet) -> ValueSet | None:
        """Return a value set that another includes."""
        key = (reference, id(within.resource) if reference.startswith("#") else 0)
        if key not in self._imports:
            imported_set = self._context.value_set(self._context.pinned(reference), within)
            if imported_set is not None:
                self._context.require_supplements(imported_set.supplements)
            self._imports[key] = (within, imported_set)
        return self._imports[key][1]

    def reference(self, include: Include, code: str) -> ConceptReference | None:
        """Return the concept of an include's list with this code."""
        if include.concepts is None:
            return None
        kept = self._references.get(id(include))
        if kept is None:
            kept = (include, {each.code: each for each in reversed(include.concepts)})
            self._references[id(include)] = kept
        return kept[1].get(code)

    def filters(self, include: Include, system: CodeSystem, value_set: ValueSet) -> tuple[Filter, ...]:
        """Return the filters of an include; raise TerminologyError for one that has no value, or no meaning."""
        if len(include.filters) > _MOST_FILTERS:
            values = (value_set.described, _MOST_FILTERS)
            raise TerminologyError(
                issue("error", "too-costly", None, "VALUESET_TOO_MANY_FILTERS", *values, at=include.path)
            )
        return tuple(self._filter(include, index, system, value_set) for index, _ in enumerate(include.filters))

    def _filter(self, include: Include, index: int, system: CodeSystem, value_set: ValueSet) -> Filter:
        stated, at = include.filters[index], f"{include.path}.filter[{index}]"
        if not stated.value:
            values: tuple[object, ...] = (system.info.url, stated.property, stated.op)
            name = "UNABLE_TO_HANDLE_SYSTEM_FILTER_WITH_NO_VALUE"
            raise TerminologyError(issue("error", "invalid", "vs-invalid", name, *values, at=at))
        condition = Filter(stated.property, stated.op, stated.value)
        if not system.understands(condition):
            values = (stated.property, stated.op, stated.value, value_set.url, system.info.url)
            raise TerminologyError(
                issue("error", "not-supported", "vs-invalid", "FILTER_NOT_UNDERSTOOD_add", *values, at=at)
            )
        return condition

    def concept_set(
        self,
        include: Include,
        system: CodeSystem,
        value_set: ValueSet,
        *,
        text: str | None = None,
        active: bool = False,
    ) -> ConceptSet:
        """Return the concepts of a code system that pass the filters of an include."""
        key = (system.info.canonical, id(include), text, active)
        if key not in self._sets:
            self._context.spend(value_set, _STEPS_A_SET)
            conditions = self.filters(include, system, value_set)
            self._sets[key] = (include, system.select(Selection(conditions, text, active)))
        return self._sets[key][1]

    def admits(self, include: Include, system: CodeSystem, concept: Concept, value_set: ValueSet) -> bool:
        """Whether a concept is among the concepts of an include, and passes its filters."""
        if include.concepts is not None and self.reference(include, concept.code) is None:
            return False
        return include.whole or not include.filters or concept.code in self.concept_set(include, system, value_set)

    def check_definition(self, value_set: ValueSet) -> None:
        """Raise TerminologyError for a value set whose definition is beyond what is understood here."""
        modified = value_set.modified_at
        if modified:
            values = (value_set.described, modified)
            raise TerminologyError(issue("error", "not-supported", "vs-invalid", "VALUESET_MODIFIED", *values))
        if value_set.locked_date:
            problem = issue("error", "business-rule", "vs-invalid", "VALUESET_LOCKED_DATE", value_set.described)
            raise TerminologyError(problem)

    # --- Membership --------------------------------------------------------------------------------------------

    def contains(self, value_set: ValueSet, member: Member) -> bool:
        """Whether a code is in a value set; the version counts where the value set has several of the system."""
        with self._context.including(value_set):
            if not value_set.composed and value_set.expansion is not None:
                return self._is_in_expansion(value_set, value_set.expansion, member)
            included = any(self._part_has(part, value_set, member) for part in value_set.includes)
            return included and not self.excludes(value_set, member)

    def _is_in_expansion(self, value_set: ValueSet, expansion: Json, member: Member) -> bool:
        for number, entry in enumerate(expansion_entries(expansion), 1):
            if number % _ENTRIES_A_STEP == 0:
                self._context.spend(value_set)
            if _means(entry, member):
                return True
        return False

    def excludes(self, value_set: ValueSet, member: Member) -> bool:
        """Whether an exclude of a value set has the code."""
        return any(self._part_has(part, value_set, member, excluding=True) for part in value_set.excludes)

    def _part_has(self, part: Include, value_set: ValueSet, member: Member, *, excluding: bool = False) -> bool:
        self._context.spend(value_set)
        if part.system is not None and not self._system_has(part, value_set, member, excluding=excluding):
            return False
        return (part.system is not None or bool(part.value_sets)) and self.in_all(part, value_set, member)

    def in_all(self, part: Include, value_set: ValueSet, member: Member, *, after: int = 0) -> bool:
        """Whether a code is in all the value sets that an include names, but for the first `after`."""
        for reference in part.value_sets[after:]:
            other = self.imported(reference, value_set)
            if other is None:
                raise unresolved_value_set(self._context.pinned(reference))
            if not self.contains(other, member):
                return False
        return True

    def _system_has(self, part: Include, value_set: ValueSet, member: Member, *, excluding: bool) -> bool:
        if part.system != member.system:
            return False
        system = self._context.code_system(member.system, part.version)
        if system is None or not self._same_version(value_set, system, member):
            return False
        concept = system.concept(member.code)
        if concept is None or (not excluding and value_set.active_only and concept.inactive):
            return False
        return self.admits(part, system, concept, value_set)

    def _same_version(self, value_set: ValueSet, system: CodeSystem, member: Member) -> bool:
        if member.version is None or not self.tells_versions(value_set):
            return True
        return system.info.version == member.version

    def tells_versions(self, value_set: ValueSet) -> bool:
        """Whether the same code in two versions of its system is two members of a value set."""
        key = id(value_set)
        if key not in self._versioned:
            are_shown = value_set.several_versions and not self.merges_versions(value_set)
            self._versioned[key] = (value_set, are_shown)
        return self._versioned[key][1]

    def merges_versions(self, value_set: ValueSet) -> bool:
        """Whether the caller, the value set, or the form of its excludes asks that versions make no difference."""
        stated = self._context.options.versions_match
        return value_set.excludes_other_versions if stated is None else stated


def selector(source: Source, options: Options | None = None) -> Selector:
    """Return a selector over a source, for questions that are not part of an operation.

    It remembers what it has found: keep it for one request, not longer.
    """
    return Selector(Context.of(source, options or Options()))


def expansion_entries(expansion: Json) -> Iterator[Json]:
    """Return the entries of a stored expansion, nested ones too."""
    waiting = list(reversed(expansion.get("contains", ())))
    while waiting:
        entry = waiting.pop()
        yield entry
        waiting.extend(reversed(entry.get("contains", ())))


def _means(entry: Json, member: Member) -> bool:
    versions = {entry.get("version"), member.version} - {None}
    return (
        entry.get("system") == member.system
        and entry.get("code") == member.code
        and not entry.get("abstract")
        and len(versions) < 2
    )
