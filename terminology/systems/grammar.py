"""What code systems whose codes follow a grammar have in common: any code can be judged, none can be listed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from terminology.content import filters
from terminology.content.provider import Filter, Selection
from terminology.content.reading import read_display
from terminology.model.concepts import CodeSystemInfo, Concept
from terminology.model.issues import TerminologyError, issue

_CODE_FILTERS = {"=", "in", "not-in", "regex"}


class GrammarSet:
    """The codes that pass tests; they can be asked for one by one."""

    def __init__(self, system: GrammarCodeSystem, tests: Sequence[Callable[[Concept], bool]]) -> None:
        self._system = system
        self._tests = tests

    def __contains__(self, code: str) -> bool:
        concept = self._system.concept(code)
        return concept is not None and all(test(concept) for test in self._tests)

    def count(self) -> int | None:
        """Return None: there is no number of them."""
        return None

    def page(self, offset: int = 0, limit: int | None = None) -> Iterator[Concept]:
        """Raise TerminologyError: there is no list of them."""
        url = self._system.info.url
        raise TerminologyError(issue("error", "not-supported", None, "CODESYSTEM_NOT_ENUMERABLE", url))


class ListedSet(GrammarSet):
    """The codes that a filter names, of those that pass tests."""

    def __init__(
        self, system: GrammarCodeSystem, tests: Sequence[Callable[[Concept], bool]], codes: Sequence[str]
    ) -> None:
        super().__init__(system, tests)
        concepts = [concept for code in codes if (concept := system.concept(code)) is not None]
        self._listed = [each for each in concepts if all(test(each) for test in tests)]

    def count(self) -> int | None:
        """Return how many there are."""
        return len(self._listed)

    def page(self, offset: int = 0, limit: int | None = None) -> Iterator[Concept]:
        """Return the concepts from the offset on."""
        return iter(self._listed[offset : None if limit is None else offset + limit])


class GrammarCodeSystem:
    """A code system by rule; a subclass says what `concept` is, and which filters it has beside those on the code."""

    def __init__(self, info: CodeSystemInfo) -> None:
        self._info = info

    @property
    def info(self) -> CodeSystemInfo:
        """What the code system says of itself."""
        return self._info

    def concept(self, code: str) -> Concept | None:
        """Return the concept of a code, None for what the grammar refuses."""
        raise NotImplementedError

    def children(self, code: str | None) -> Sequence[str]:
        """Return nothing: there is no hierarchy."""
        return ()

    def parents(self, code: str) -> Sequence[str]:
        """Return nothing: there is no hierarchy."""
        return ()

    def subsumes(self, ancestor: str, code: str) -> bool:
        """Whether both are the same."""
        return ancestor == code

    def understands(self, condition: Filter) -> bool:
        """Whether the filter is one on the code, or on a property of the system."""
        if condition.property in filters.CODE:
            return condition.op in _CODE_FILTERS
        return condition.op in _CODE_FILTERS | {"exists"} and condition.property in {
            each.code for each in self._info.properties
        }

    def select(self, selection: Selection) -> GrammarSet:
        """Return the codes selected; those that a filter names can be listed."""
        tests = [self._test(each) for each in selection.filters]
        for each in selection.filters:
            if each.property in filters.CODE and each.op in ("=", "in"):
                codes = [each.value] if each.op == "=" else [code.strip() for code in each.value.split(",")]
                return ListedSet(self, tests, codes)
        return GrammarSet(self, tests)

    def _test(self, condition: Filter) -> Callable[[Concept], bool]:
        if condition.property in filters.CODE:
            test = filters.code_test(condition, self, is_a=True)
            return lambda concept: test(concept.code)
        return filters.concept_test(condition, self)


def named(code: str, display: str) -> Concept:
    """Return a concept with an English display."""
    return Concept(code, display, designations=(read_display(display, "en"),))
