"""Expanding a value set. https://hl7.org/fhir/R4/valueset-operation-expand.html

Rows are drawn lazily from the code systems, so that a page costs what is on it: an offset into one include is put to
the code system, and what cannot be, is walked only as far as the page goes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from terminology.content import text
from terminology.content.provider import CodeSystem, ConceptSet, Source
from terminology.model.concepts import Concept, Json
from terminology.model.issues import TerminologyError, UnresolvedReference, issue
from terminology.model.options import Options
from terminology.model.value_sets import Include, ValueSet, newest_first
from terminology.model.versions import canonical
from terminology.operations.context import Context, Limits
from terminology.operations.entries import EntryMaker, Row
from terminology.operations.expansion import Entry, Expansion
from terminology.operations.selection import Member, Selector
from terminology.operations.statuses import Reliability, reliability_of, warning
from terminology.operations.stored_expansions import stored_rows

_DEEPEST = 100
_COUNTED = 100_000
_FRAGMENT = "This extension is based on a fragment of the code system {}"
_GRAMMAR = "The code System '{}' has a grammar and so has infinite members"


@dataclass(slots=True)
class ExpandRequest:
    """Which value set to expand: itself, or by `url` and `version`; `resources` are those that the request brings."""

    url: str | None = None
    version: str | None = None
    resource: Json | None = None
    options: Options = field(default_factory=Options)
    resources: list[Json] = field(default_factory=list)


def expand(request: ExpandRequest, source: Source, limits: Limits | None = None) -> Expansion:
    """Return the codes of a value set, or the page of them that was asked for.

    Raises TerminologyError: for more codes than the limit where no page was asked for (`too-costly`), for a code
    system or value set that is not known (UnresolvedReference), for a filter that is not understood, for a value set
    that includes itself.
    """
    context = Context.of(source, request.options, request.resources, limits)
    value_set = context.requested_value_set(request.resource, request.url, request.version)
    context.adopt(value_set)
    return _Expander(value_set, context).run()


def members(value_set: ValueSet, source: Source, limits: Limits | None = None) -> Iterator[Member]:
    """Return the codes of a value set one by one, each once, without what an expansion tells of them.

    Raises TerminologyError as `expand` does, but for the limit of codes: the caller stops where it has enough.
    """
    context = Context.of(source, Options(), limits=limits)
    context.adopt(value_set)
    yield from _Expander(value_set, context).members()


class _Expander:
    def __init__(self, value_set: ValueSet, context: Context) -> None:
        self._value_set = value_set
        self._context = context
        self._options = context.options
        self._selector = Selector(context)
        self._expansion = Expansion(value_set, include_definition=bool(self._options.include_definition))
        self._maker = EntryMaker(self._expansion, self._options)
        self._nested = not self._options.exclude_nested and not self._options.offset
        self._words = text.words(self._options.filter) if self._options.filter else ()
        self._with_versions = False
        self._checked: dict[int, ValueSet] = {}
        self._drawn = 0

    def run(self) -> Expansion:
        """Return the expansion."""
        self._note_parameters()
        if not self._value_set.composed and self._value_set.expansion is None:
            problem = issue("error", "invalid", "vs-invalid", "VALUESET_NO_COMPOSE", self._value_set.described)
            raise TerminologyError(problem)
        self._check_sources(self._value_set)
        self._with_versions = self._value_set.several_versions
        rows = self._page()
        self._context.check_supplements()
        if self._nested and self._is_whole(rows):
            self._expansion.contains = self._tree(rows)
        else:
            self._expansion.contains = [self._entry(row) for row in rows]
        for rule in self._context.followed:
            name, value = rule.parameter
            if value != self._value_set.canonical:
                self._expansion.note(name, "uri", value)
        return self._expansion

    def members(self) -> Iterator[Member]:
        """Return the codes."""
        self._nested = False
        self._check_sources(self._value_set)
        self._context.check_supplements()
        for row in self._distinct(self._rows(self._value_set)):
            yield Member(row.info.url, row.info.version, row.concept.code)

    def _entry(self, row: Row) -> Entry:
        return self._maker.make(row, with_version=self._with_versions)

    def _note_parameters(self) -> None:
        options, note = self._options, self._expansion.note
        if options.filter:
            note("filter", "string", options.filter)
        if options.languages:
            note("displayLanguage", "code", options.languages.as_parameter())
        for each in options.designations:
            note("designation", "string", each)
        for each in options.excluded_systems:
            note("exclude-system", "uri", each)
        flags = {
            "excludeNested": options.exclude_nested,
            "activeOnly": options.active_only,
            "includeDesignations": options.include_designations,
            "includeDefinition": options.include_definition,
            "excludeNotForUI": options.exclude_not_for_ui,
            "excludePostCoordinated": options.exclude_post_coordinated,
            "versionsMatch": self._selector.merges_versions(self._value_set) or None,
        }
        for name, value in flags.items():
            if value is not None:
                note(name, "boolean", value)
        for name, number in (("offset", options.offset), ("count", options.count)):
            if number is not None:
                note(name, "integer", number)
        self._expansion.offset = options.offset
        self._warn(reliability_of(self._value_set), self._value_set)

    def _warn(self, reliability: Reliability, source: ValueSet) -> None:
        kind = warning(reliability, reliability_of(source))
        if kind:
            self._expansion.note(f"warning-{kind}", "uri", reliability.canonical)

    # --- Sources -----------------------------------------------------------------------------------------------

    def _check_sources(self, value_set: ValueSet) -> None:
        """Look whether all that the value set refers to is there, and note what is used."""
        if id(value_set) in self._checked:
            return
        self._selector.check_definition(value_set)
        with self._context.including(value_set):
            parts = [(part, False) for part in value_set.includes] + [(part, True) for part in value_set.excludes]
            for part, excluding in parts:
                self._context.spend(value_set)
                for reference in part.value_sets:
                    self._check_import(reference, value_set, excluding=excluding)
                if part.system is not None:
                    self._note_system(self._system(part), part, value_set)
        self._checked[id(value_set)] = value_set

    def _check_import(self, reference: str, value_set: ValueSet, *, excluding: bool) -> None:
        other = self._selector.imported(reference, value_set)
        if other is None:
            raise self._context.unresolved_import(reference, excluding=excluding)
        if not other.contained:
            self._expansion.note("used-valueset", "uri", other.canonical)
        self._warn(reliability_of(other), value_set)
        self._check_sources(other)

    def _system(self, part: Include) -> CodeSystem:
        url = part.system or ""
        system = self._context.code_system(url, part.version)
        if system is None:
            version = self._context.resolve_version(url, part.version)
            problem = self._context.unknown_code_system(url, version, expanding=True)
            raise UnresolvedReference(problem, unknown_system=canonical(url, version))
        if forbidden := self._context.version_check(system):
            raise TerminologyError(forbidden)
        return system

    def _note_system(self, system: CodeSystem, part: Include, value_set: ValueSet) -> None:
        info = system.info
        self._expansion.note("used-codesystem", "uri", info.canonical)
        self._warn(reliability_of(info), value_set)
        if info.content == "fragment":
            self._expansion.note("used-fragment", "uri", info.canonical)
            self._expansion.unclosed(_FRAGMENT.format(info.url))
        elif not info.closed and part.concepts is None:
            self._expansion.unclosed(_GRAMMAR.format(info.url))
        for name in info.supplements:
            self._expansion.note("used-supplement", "uri", name)

    # --- Rows --------------------------------------------------------------------------------------------------

    def _page(self) -> list[Row]:
        """Return the rows of the page, or all of them where no page was asked for, and set the total."""
        if (single := self._single()) is not None:
            return self._page_of_one(*single)
        offset, count = self._options.offset or 0, self._options.count
        rows = self._distinct(self._rows(self._value_set))
        page = list(islice(rows, offset, offset + self._most))
        if count is None:
            self._refuse_over(len(page))
        self._expansion.total = self._count(rows)
        return page

    @property
    def _most(self) -> int:
        """How many rows to read: those of the page, or one more than are allowed without one."""
        return self._context.limits.codes + 1 if self._options.count is None else self._options.count

    def _count(self, rows: Iterator[Row]) -> int | None:
        """Return how many rows there are, those that were read included; None where it takes too long to see."""
        try:
            left = sum(1 for _ in islice(rows, _COUNTED))
        except TerminologyError:
            return None
        return self._drawn if left < _COUNTED else None

    def _refuse_over(self, count: int) -> None:
        if count > self._context.limits.codes:
            values = (self._value_set.described, self._context.limits.codes)
            raise TerminologyError(issue("error", "too-costly", None, "VALUESET_TOO_COSTLY", *values))

    def _single(self) -> tuple[CodeSystem, ConceptSet] | None:
        """Return the one set of concepts that the value set is, None where it has more to it."""
        value_set = self._value_set
        narrowed = self._options.exclude_not_for_ui or self._options.excluded_systems
        if len(value_set.includes) != 1 or value_set.excludes or narrowed:
            return None
        part = value_set.includes[0]
        if part.system is None or part.value_sets or part.concepts is not None:
            return None
        system = self._system(part)
        return system, self._concepts(part, system, value_set)

    def _page_of_one(self, system: CodeSystem, concepts: ConceptSet) -> list[Row]:
        offset, total = self._options.offset or 0, concepts.count()
        self._expansion.total = total
        if self._options.count is None and total is not None:
            self._refuse_over(total - offset)
        page = list(islice(concepts.page(offset, self._most), self._most))
        if self._options.count is None:
            self._refuse_over(len(page))
            self._expansion.total = offset + len(page) if total is None else total
        return [self._row(system, concept) for concept in page]

    def _concepts(self, part: Include, system: CodeSystem, value_set: ValueSet) -> ConceptSet:
        active = bool(self._options.active_only or value_set.active_only)
        return self._selector.concept_set(part, system, value_set, text=self._options.filter, active=active)

    def _rows(self, value_set: ValueSet) -> Iterator[Row]:
        """Return the rows of a value set, those of newer versions of a system first."""
        if not value_set.composed and value_set.expansion is not None:
            yield from (row for row in stored_rows(value_set.expansion) if self._is_wanted(row, value_set))
            return
        self._context.spend(value_set)
        with_versions = self._selector.tells_versions(value_set)
        for part in newest_first(value_set.includes):
            for row in self._rows_of(part, value_set):
                version = row.info.version if with_versions else None
                if not self._selector.excludes(value_set, Member(row.info.url, version, row.concept.code)):
                    yield row

    def _rows_of(self, part: Include, value_set: ValueSet) -> Iterator[Row]:
        if part.system is None:
            yield from self._imported_rows(part, value_set)
            return
        system = self._system(part)
        for row in self._listed(part, system, value_set) if part.concepts else self._selected(part, system, value_set):
            if self._selector.in_all(part, value_set, Member(row.info.url, row.info.version, row.concept.code)):
                yield row

    def _imported_rows(self, part: Include, value_set: ValueSet) -> Iterator[Row]:
        if not part.value_sets:
            return
        self._nested = False
        first = self._selector.imported(part.value_sets[0], value_set)
        if first is None:
            raise self._context.unresolved_import(part.value_sets[0])
        for row in self._rows(first):
            member = Member(row.info.url, row.info.version, row.concept.code)
            hidden = value_set.active_only and row.concept.inactive
            if not hidden and self._selector.in_all(part, value_set, member, after=1):
                yield row

    def _listed(self, part: Include, system: CodeSystem, value_set: ValueSet) -> Iterator[Row]:
        for reference in part.concepts or ():
            concept = system.concept(reference.code)
            if concept is not None and self._selector.admits(part, system, concept, value_set):
                row = Row(system.info, concept, reference, value_set.language)
                if self._is_wanted(row, value_set):
                    yield row

    def _selected(self, part: Include, system: CodeSystem, value_set: ValueSet) -> Iterator[Row]:
        for concept in self._concepts(part, system, value_set).page():
            if not (self._options.exclude_not_for_ui and concept.abstract):
                yield self._row(system, concept)

    def _row(self, system: CodeSystem, concept: Concept) -> Row:
        return Row(system.info, concept, parents=tuple(system.parents(concept.code)) if self._nested else ())

    def _is_wanted(self, row: Row, value_set: ValueSet) -> bool:
        concept = row.concept
        if concept.inactive and (self._options.active_only or value_set.active_only):
            return False
        if concept.abstract and self._options.exclude_not_for_ui:
            return False
        return not self._words or text.matches(concept, self._words, row.designations)

    def _distinct(self, rows: Iterator[Row]) -> Iterator[Row]:
        seen: set[tuple[str, str | None, str]] = set()
        with_versions = self._selector.tells_versions(self._value_set)
        left_out = set(self._options.excluded_systems)
        for row in rows:
            self._context.spend(self._value_set)
            if {row.info.url, row.info.canonical} & left_out:
                continue
            key = (row.info.url, row.info.version if with_versions else None, row.concept.code)
            if key not in seen:
                seen.add(key)
                self._drawn += 1
                yield row

    # --- Nesting -----------------------------------------------------------------------------------------------

    def _tree(self, rows: list[Row]) -> list[Entry]:
        """Return the entries below one another as the code system has them, side by side where one would be below
        several.
        """
        entries = {(row.info.canonical, row.concept.code): self._entry(row) for row in rows}
        above = [self._above(row, entries) for row in rows] if self._can_nest() else []
        if any(len(parents) > 1 for parents in above) or self._is_too_deep(rows, above):
            above = []
        roots: list[Entry] = []
        for index, row in enumerate(rows):
            entry = entries[row.info.canonical, row.concept.code]
            parents = above[index] if above else []
            (parents[0].contains if parents else roots).append(entry)
        return roots

    @staticmethod
    def _is_too_deep(rows: list[Row], above: list[list[Entry]]) -> bool:
        depths: dict[str, int] = {}
        for row, parents in zip(rows, above, strict=bool(above)):
            depths[row.concept.code] = 1 + max((depths.get(each.code, 0) for each in parents), default=0)
        return max(depths.values(), default=0) > _DEEPEST

    def _is_whole(self, rows: list[Row]) -> bool:
        """Whether the rows are all there are, so that none lacks what is above it."""
        return self._options.count is None or len(rows) == self._expansion.total

    def _can_nest(self) -> bool:
        filters = (0, 1) if not self._options.filter else (1,)
        return self._nested and all(
            part.concepts is None and not part.value_sets and len(part.filters) in filters
            for part in self._value_set.includes
        )

    def _above(self, row: Row, entries: dict[tuple[str, str], Entry]) -> list[Entry]:
        """Return the nearest entries above a row."""
        system = self._context.code_system(row.info.url, row.info.version, rules=False)
        nearest: dict[str, Entry] = {}
        seen: set[str] = set()
        waiting = list(row.parents)
        while waiting and system is not None:
            code = waiting.pop()
            if code in seen:
                continue
            seen.add(code)
            if (entry := entries.get((row.info.canonical, code))) is not None:
                nearest[code] = entry
            else:
                waiting.extend(system.parents(code))
        return list(nearest.values())
