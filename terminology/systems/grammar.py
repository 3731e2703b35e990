"""What code systems whose codes follow a grammar have in common: any code can be judged, common ones are listed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from terminology.content import filters, text
from terminology.content.provider import Filter, Selection
from terminology.content.reading import read_display
from terminology.model.concepts import CodeSystemInfo, Concept
from terminology.model.issues import TerminologyError, issue

_CODE_FILTERS = {"=", "in", "not-in", "regex"}


class GrammarSet:
    """The codes that pass tests: any can be asked for, and those of `listed` that pass can be listed."""

    def __init__(
        self, system: GrammarCodeSystem, tests: Sequence[Callable[[Concept], bool]], listed: Sequence[str]
    ) -> None:
        self._system = system
        self._tests = tests
        self._codes = listed

    def __contains__(self, code: str) -> bool:
        concept = self._system.concept(code)
        return concept is not None and self._passes(concept)

    def _passes(self, concept: Concept) -> bool:
        return all(test(concept) for test in self._tests)

    def _listed(self) -> list[Concept]:
        if not self._codes:
            url = self._system.info.url
            raise TerminologyError(issue("error", "not-supported", None, "CODESYSTEM_NOT_ENUMERABLE", url))
        concepts = [concept for code in self._codes if (concept := self._system.concept(code)) is not None]
        return [each for each in concepts if self._passes(each)]

    def count(self) -> int | None:
        """Return how many are listed."""
        return len(self._listed())

    def page(self, offset: int = 0, limit: int | None = None) -> Iterator[Concept]:
        """Return those that are listed from the offset on; raise TerminologyError where there is no list."""
        return iter(self._listed()[offset : None if limit is None else offset + limit])


class GrammarCodeSystem:
    """A code system by rule; a subclass says what `concept` is.

    `common` are the codes that an expansion lists, which then says that there are more; without them there is none.
    """

    def __init__(self, info: CodeSystemInfo, common: Sequence[str] = ()) -> None:
        self._info = info
        self._common = common

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
        """Return the codes selected; where a filter names codes, they are listed instead of the common ones."""
        tests = [self._test(each) for each in selection.filters]
        if selection.text is not None:
            searched = text.words(selection.text)
            tests.append(lambda concept: text.matches(concept, searched))
        for each in selection.filters:
            if each.property in filters.CODE and each.op in ("=", "in"):
                codes = [each.value] if each.op == "=" else [code.strip() for code in each.value.split(",")]
                return GrammarSet(self, tests, codes)
        return GrammarSet(self, tests, self._common)

    def _test(self, condition: Filter) -> Callable[[Concept], bool]:
        if condition.property in filters.CODE:
            test = filters.code_test(condition, self, is_a=True, listed=False)
            return lambda concept: test(concept.code)
        return filters.concept_test(condition, self)


def named(code: str, display: str) -> Concept:
    """Return a concept with an English display."""
    return Concept(code, display, designations=(read_display(display, "en"),))
