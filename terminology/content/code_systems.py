"""A CodeSystem resource in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from terminology.content import filters, text
from terminology.content.filters import MatchingSet
from terminology.content.provider import Filter, Selection
from terminology.content.reading import property_named, read_concept, read_info, read_properties
from terminology.model.concepts import CodeSystemInfo, Concept, Json
from terminology.model.effort import effort

_KEPT = 64
_PARENTS_A_STEP = 10
"""Parents that cost as much to look at as one step of other work."""


@dataclass(slots=True)
class _Entry:
    """A concept as it was read, its neighbours, and the concept that it becomes when it is first asked for."""

    resource: Json
    parents: list[str] = field(default_factory=list)
    children: list[str] = field(default_factory=list)
    concept: Concept | None = None


class ResourceCodeSystem:
    """A code system that a CodeSystem resource lists, with its hierarchy by nesting and by `parent` and `child`
    properties. Building it costs a walk over its concepts; keep it as long as the resource's version.
    """

    def __init__(self, resource: Json) -> None:
        self._info = read_info(resource)
        self._entries: dict[str, _Entry] = {}
        self._roots: list[str] = []
        self._folded: dict[str, str] | None = None
        self._selected: dict[Selection, MatchingSet] = {}
        self._words: tuple[list[str], text.TextIndex] | None = None
        for concept in resource.get("concept", ()):
            self._add(concept)
        self._link()
        effort(len(self._entries))

    def _add(self, root: Json) -> None:
        # Not by recursion: a hierarchy may be deeper than the stack.
        waiting: list[tuple[Json, str | None]] = [(root, None)]
        while waiting:
            resource, parent = waiting.pop()
            code = resource.get("code")
            if not isinstance(code, str):
                continue
            entry = self._entries.setdefault(code, _Entry(resource))
            if parent is not None and parent not in entry.parents:
                entry.parents.append(parent)
                self._entries[parent].children.append(code)
            waiting.extend((child, code) for child in reversed(resource.get("concept", ())))

    def _link(self) -> None:
        """Follow the properties that name parents and children, and find the roots."""
        for code, entry in self._entries.items():
            for name, parents in (("parent", True), ("subsumedBy", True), ("child", False)):
                for other in _named(entry.resource, name, self._info):
                    self._relate(other, code) if parents else self._relate(code, other)
        self._roots = [code for code, entry in self._entries.items() if not entry.parents]

    def _relate(self, parent: str, child: str) -> None:
        if parent in self._entries and child in self._entries and parent not in self._entries[child].parents:
            self._entries[child].parents.append(parent)
            self._entries[parent].children.append(child)

    @property
    def info(self) -> CodeSystemInfo:
        """What the code system says of itself."""
        return self._info

    def concept(self, code: str) -> Concept | None:
        """Return the concept that a code means; whatever its case, where the system is not case sensitive."""
        entry = self._entries.get(code)
        if entry is None and not self._info.case_sensitive:
            entry = self._entries.get(self._by_case().get(code.casefold(), ""))
        return None if entry is None else self._read(entry)

    def _by_case(self) -> dict[str, str]:
        if self._folded is None:
            self._folded = {code.casefold(): code for code in reversed(self._entries)}
        return self._folded

    def _read(self, entry: _Entry) -> Concept:
        if entry.concept is None:
            entry.concept = read_concept(entry.resource, self._info)
        return entry.concept

    def _listed(self, code: str) -> Concept:
        return self._read(self._entries[code])

    def children(self, code: str | None) -> Sequence[str]:
        """Return the codes right below a code, in order; the roots below None."""
        if code is None:
            return self._roots
        entry = self._entries.get(code)
        return entry.children if entry else ()

    def parents(self, code: str) -> Sequence[str]:
        """Return the codes right above a code."""
        entry = self._entries.get(code)
        return entry.parents if entry else ()

    def subsumes(self, ancestor: str, code: str) -> bool:
        """Whether the first is an ancestor of the second, or the same."""
        seen = {code}
        waiting = [code]
        while waiting:
            current = waiting.pop()
            if current == ancestor:
                return current in self._entries
            parents = self.parents(current)
            effort(len(parents) // _PARENTS_A_STEP)
            above = [parent for parent in parents if parent not in seen]
            seen.update(above)
            waiting.extend(above)
        return False

    def understands(self, condition: Filter) -> bool:
        """Whether the filter has a meaning here."""
        return filters.understands(condition, (each.code for each in self._info.properties))

    def select(self, selection: Selection) -> MatchingSet:
        """Return the concepts selected, those below a code in the order of the hierarchy.

        Selections without a text are few and come again: what they list is kept.
        """
        concepts = self._selected.get(selection)
        if concepts is None:
            concepts = self._select(selection)
            if selection.text is None:
                if len(self._selected) >= _KEPT:
                    self._selected = {}
                self._selected[selection] = concepts
        return concepts

    def _select(self, selection: Selection) -> MatchingSet:
        anchor = next((each for each in selection.filters if self._can_list(each)), None)
        searched = text.words(selection.text or "")
        tests = [self._test(each) for each in selection.filters if each is not anchor]
        if searched:
            tests.append(lambda code: text.matches(self._listed(code), searched))
        if selection.active_only:
            tests.append(lambda code: not self._listed(code).inactive)
        every = [self._test(anchor), *tests] if anchor is not None else tests

        def admits(code: str) -> bool:
            effort(len(every))
            return code in self._entries and all(test(code) for test in every)

        if searched and anchor is None:
            return MatchingSet(lambda: self._with_a_word(searched), every, admits, self._listed)
        return MatchingSet(lambda: self._candidates(anchor), tests, admits, self._listed)

    def _with_a_word(self, searched: tuple[str, ...]) -> list[str]:
        """Return the codes among which those with all the words are."""
        if self._words is None:
            codes = list(self._entries)
            self._words = codes, text.TextIndex(map(self._listed, codes))
        codes, index = self._words
        return [codes[place] for place in index.candidates(searched)]

    def _can_list(self, condition: Filter) -> bool:
        """Whether the codes that a filter admits can be listed without looking at all."""
        hierarchy = condition.op in ("is-a", "descendent-of") and self._is_a
        return condition.property in filters.CODE and (hierarchy or condition.op in ("=", "in", "child-of"))

    def _candidates(self, anchor: Filter | None) -> Iterable[str]:
        """Return the codes that a filter admits, all codes without one."""
        if anchor is None:
            return self._entries
        match anchor.op:
            case "is-a":
                return self._below(anchor.value)
            case "descendent-of":
                return islice(self._below(anchor.value), 1, None)
            case "child-of":
                return self.children(anchor.value)
            case _:
                stated = [anchor.value] if anchor.op == "=" else [each.strip() for each in anchor.value.split(",")]
                return [code for code in dict.fromkeys(stated) if code in self._entries]

    @property
    def _is_a(self) -> bool:
        return self._info.hierarchy_meaning in (None, "is-a")

    def _test(self, condition: Filter) -> Callable[[str], bool]:
        if condition.property in filters.CODE:
            return filters.code_test(condition, self, is_a=self._is_a, listed=True)
        test = filters.concept_test(condition, self)
        return lambda code: test(self._listed(code))

    def _below(self, code: str) -> Iterator[str]:
        seen: set[str] = set()
        waiting = [code] if code in self._entries else []
        while waiting:
            current = waiting.pop()
            if current not in seen:
                seen.add(current)
                yield current
                waiting.extend(reversed(self.children(current)))


def _named(resource: Json, name: str, info: CodeSystemInfo) -> list[str]:
    if not resource.get("property"):
        return []
    properties = list(read_properties(resource, info.properties))
    return [each.text for each in properties if property_named([each], name)]
