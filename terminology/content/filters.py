"""What the filters of a value set mean in a code system that lists its concepts.

https://hl7.org/fhir/R5/valueset-filter-operator.html, https://hl7.org/fhir/R4/codesystem.html#filters
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import Protocol

import re2

from terminology.content.provider import Filter
from terminology.content.reading import property_named
from terminology.model.concepts import Concept, Property
from terminology.model.effort import effort
from terminology.model.issues import TerminologyError, issue

CODE = {"concept", "code"}
HIERARCHY = {"is-a", "descendent-of", "is-not-a", "generalizes", "child-of", "descendent-leaf"}
_COMPARISONS = {"=", "in", "not-in", "regex", "exists"}
_TEXTS = {"display", "definition", "designation"}
_FHIRS_OWN = {"notSelectable", "status", "inactive", "deprecated", "parent", "child"}
_LONGEST_PATTERN = 1000
_ASKED_ONE_BY_ONE = 32


class Hierarchy(Protocol):
    """What filters ask of a code system."""

    def subsumes(self, ancestor: str, code: str) -> bool:
        """Whether the first is an ancestor of the second, or the same."""

    def parents(self, code: str) -> Iterable[str]:
        """Return the codes right above a code."""

    def children(self, code: str | None) -> Iterable[str]:
        """Return the codes right below a code."""


def understands(condition: Filter, properties: Iterable[str]) -> bool:
    """Whether a filter has a meaning in a code system with these properties."""
    if condition.property in CODE:
        return condition.op in HIERARCHY | _COMPARISONS
    if condition.property in {*_TEXTS, *_FHIRS_OWN, *properties}:
        return condition.op in _COMPARISONS
    return False


@lru_cache(maxsize=256)
def pattern(text: str) -> re2._Regexp:
    """Return the compiled pattern of a filter; raise TerminologyError for one that is none, or uses what cannot be
    matched in linear time.
    """
    if len(text) > _LONGEST_PATTERN:
        raise TerminologyError(issue("error", "invalid", "vs-invalid", "INVALID_REGEX", text[:80], "it is too long"))
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(text, options)
    except re2.error as error:
        problem = issue("error", "invalid", "vs-invalid", "INVALID_REGEX", text, str(error))
        raise TerminologyError(problem) from None


def comparison(condition: Filter) -> Callable[[list[str]], bool]:
    """Return the test that a filter makes of the values of a property."""
    values = [each.strip() for each in condition.value.split(",")]
    match condition.op:
        case "=":
            return lambda stated: condition.value in stated
        case "in":
            return lambda stated: any(value in stated for value in values)
        case "not-in":
            return lambda stated: all(value not in stated for value in values)
        case "exists":
            return lambda stated: bool(stated) == (condition.value == "true")
        case _:
            regex = pattern(condition.value)
            return lambda stated: any(regex.fullmatch(value) is not None for value in stated)


def code_test(condition: Filter, system: Hierarchy, *, is_a: bool, listed: bool) -> Callable[[str], bool]:
    """Return the test that a filter on the code makes; without `is_a` nothing is below anything in meaning.

    `listed` is whether all that is above or below a code is found by parents and children.
    """
    value = condition.value
    below = _related(value, lambda code: system.subsumes(value, code), system.children, is_a=is_a, listed=listed)
    above = _related(value, lambda code: system.subsumes(code, value), system.parents, is_a=is_a, listed=listed)
    match condition.op:
        case "is-a":
            return below
        case "descendent-of":
            return lambda code: code != value and below(code)
        case "is-not-a":
            return lambda code: not below(code)
        case "generalizes":
            return above
        case "child-of":
            return lambda code: value in system.parents(code)
        case "descendent-leaf":
            return lambda code: code != value and not list(system.children(code)) and below(code)
        case _:
            test = comparison(condition)
            return lambda code: test([code])


def _related(
    value: str, test: Callable[[str], bool], nearest: Callable[[str], Iterable[str]], *, is_a: bool, listed: bool
) -> Callable[[str], bool]:
    if not is_a:
        return lambda code: code == value
    return _Related(value, test, nearest) if listed else test


class _Related:
    """Whether a code is the one or on the same side of it as its `nearest`: asked one by one, then looked up.

    A way through the hierarchy for each of many codes would be as long as the hierarchy, many times.
    """

    def __init__(self, value: str, test: Callable[[str], bool], nearest: Callable[[str], Iterable[str]]) -> None:
        self._value = value
        self._test = test
        self._nearest = nearest
        self._times = 0
        self._codes: frozenset[str] | None = None

    def __call__(self, code: str) -> bool:
        if self._codes is None:
            self._times += 1
            if self._times <= _ASKED_ONE_BY_ONE:
                return self._test(code)
            self._codes = self._walk()
        return code in self._codes

    def _walk(self) -> frozenset[str]:
        seen = {self._value}
        waiting = [self._value]
        while waiting:
            fresh = [each for each in self._nearest(waiting.pop()) if each not in seen]
            seen.update(fresh)
            waiting += fresh
        return frozenset(seen)


def concept_test(condition: Filter, system: Hierarchy) -> Callable[[Concept], bool]:
    """Return the test that a filter on a property or text makes."""
    test = comparison(condition)
    return lambda concept: test(_values(concept, condition.property, system))


def _values(concept: Concept, name: str, system: Hierarchy) -> list[str]:
    if name in _TEXTS:
        return _texts(concept, name)
    stated = _stated(concept, name)
    if stated or name not in _FHIRS_OWN:
        return stated
    return _computed(concept, name, system)


def _texts(concept: Concept, name: str) -> list[str]:
    if name == "designation":
        return [each.value for each in concept.designations]
    text = concept.display if name == "display" else concept.definition
    return [text] if text else []


def _stated(concept: Concept, name: str) -> list[str]:
    properties = [each for each in concept.properties if each.code == name]
    if not properties and name in _FHIRS_OWN:
        named = property_named(concept.properties, name)
        properties = [named] if named else []
    return [text for each in properties for text in _forms(each)]


def _forms(each: Property) -> list[str]:
    if isinstance(each.value, dict) and each.value.get("system"):
        return [each.text, f"{each.value['system']}|{each.text}"]
    return [each.text]


def _computed(concept: Concept, name: str, system: Hierarchy) -> list[str]:
    match name:
        case "inactive":
            return ["true" if concept.inactive else "false"]
        case "deprecated":
            return ["true" if concept.status == "deprecated" else "false"]
        case "status":
            return [concept.status] if concept.status else []
        case "parent":
            return list(system.parents(concept.code))
        case "child":
            return list(system.children(concept.code))
        case _:
            return []


def _passes(code: str, tests: Sequence[Callable[[str], bool]]) -> bool:
    effort(len(tests))
    return all(test(code) for test in tests)


class MatchingSet:
    """The concepts among `candidates` that pass tests, walked only when they are counted or read; `admits` answers for
    one code without a walk.
    """

    def __init__(
        self,
        candidates: Callable[[], Iterable[str]],
        tests: Sequence[Callable[[str], bool]],
        admits: Callable[[str], bool],
        concept: Callable[[str], Concept],
    ) -> None:
        self._candidates = candidates
        self._tests = tests
        self._admits = admits
        self._concept = concept
        self._codes: list[str] | None = None
        self._members: frozenset[str] = frozenset()

    def __contains__(self, code: str) -> bool:
        return self._admits(code) if self._codes is None else code in self._members

    def _listed(self) -> list[str]:
        if self._codes is None:
            tests, candidates = self._tests, self._candidates()
            codes = [code for code in candidates if _passes(code, tests)] if tests else list(candidates)
            effort(len(codes))
            self._members = frozenset(codes)
            self._codes = codes
        return self._codes

    def count(self) -> int | None:
        """Return how many there are."""
        return len(self._listed())

    def page(self, offset: int = 0, limit: int | None = None) -> Iterator[Concept]:
        """Return the concepts from the offset on."""
        end = None if limit is None else offset + limit
        return map(self._concept, islice(self._listed(), offset, end))
