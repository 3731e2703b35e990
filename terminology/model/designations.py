"""Which designation to show, and whether a display that was sent is one of a concept.

https://build.fhir.org/ig/HL7/fhir-tx-ecosystem-ig/languages.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from terminology.model.concepts import Concept, Designation
from terminology.model.languages import Language, LanguageRange, LanguageRanges

_Matches = Callable[[Language, Language], bool]
_LEVELS: tuple[_Matches, ...] = (Language.same, Language.same_region, Language.same_language)


@dataclass(slots=True)
class Designations:
    """The designations of a concept, in the order of their sources: the code system, supplements, the value set."""

    items: list[Designation] = field(default_factory=list)

    @classmethod
    def of(cls, concept: Concept) -> Designations:
        """Return the designations of a concept."""
        return cls(list(concept.designations))

    def add(self, designations: Iterable[Designation]) -> None:
        """Add designations to the end."""
        self.items.extend(designations)

    def __iter__(self) -> Iterator[Designation]:
        return iter(self.items)

    def preferred(self, ranges: LanguageRanges | None) -> Designation | None:
        """Return the designation to show, None where the languages allow none; without languages the first display."""
        if ranges is None:
            return self._first(lambda each: True)
        for each in ranges:
            if each.quality > 0 and (designation := self._in_range(each)):
                return designation
        return next((each for each in self.items if each.language is None and each.is_display), None)

    def _first(self, allowed: Callable[[Designation], bool]) -> Designation | None:
        candidates = [each for each in self.items if allowed(each)]
        ranked = sorted(candidates, key=lambda each: (not (each.is_display and each.active), not each.is_display))
        return ranked[0] if ranked else None

    def _in_range(self, language_range: LanguageRange) -> Designation | None:
        if language_range.language is None:
            return self._first(lambda each: True)
        for active in (True, False):
            for level in _LEVELS:
                candidates = [each for each in self._matching(language_range, level) if each.active or not active]
                if candidates:
                    return next((each for each in candidates if each.is_display), candidates[0])
        return None

    def _matching(self, language_range: LanguageRange, level: _Matches) -> Iterator[Designation]:
        for each in self.items:
            language = _language(each)
            if language_range.language is None or (language is not None and level(language_range.language, language)):
                yield each

    def _allowed(self, ranges: LanguageRanges | None, base: str | None = None) -> list[Designation]:
        """Those in one of the languages, or in the base language, or in none that is known."""
        if ranges is None:
            return list(self.items)
        return [each for each in self.items if _is_allowed(each, ranges, base)]

    def current(self, ranges: LanguageRanges | None) -> list[str]:
        """Return the displays that may be used, in the languages."""
        return [each.value for each in self._allowed(ranges) if each.active and each.is_display]

    def has(
        self, display: str, ranges: LanguageRanges | None, *, base: str | None = None, active: bool = False
    ) -> bool:
        """Whether the text is one of the designations, whatever its case."""
        folded = display.casefold()
        return any(each.value.casefold() == folded for each in self._allowed(ranges, base) if each.active or not active)

    def has_but_for_spaces(self, display: str, ranges: LanguageRanges | None) -> bool:
        """Whether the text is one of the designations but for the spaces in it."""
        folded = _normal(display)
        return any(_normal(each.value) == folded for each in self._allowed(ranges))

    def displays(self, ranges: LanguageRanges | None) -> list[Designation]:
        """Return the displays in the languages, those that match them best."""
        displays = [each for each in self.items if each.is_display]
        if ranges is None:
            return displays
        for level in _LEVELS:
            if allowed := [each for each in displays if _is_allowed(each, ranges, None, (level,))]:
                return allowed
        return []

    def status(self, display: str) -> str:
        """Return the status of the designation with this text."""
        folded = display.casefold()
        return next((each.status for each in self.items if each.value.casefold() == folded), "")


def _language(designation: Designation) -> Language | None:
    return Language.parse(designation.language) if designation.language else None


def _is_allowed(
    designation: Designation, ranges: LanguageRanges, base: str | None, levels: tuple[_Matches, ...] = _LEVELS
) -> bool:
    language = _language(designation)
    if language is None:
        return True
    if base is not None and (other := Language.parse(base)) and language.same(other):
        return True
    return any(
        each.quality > 0 and (each.language is None or any(level(each.language, language) for level in levels))
        for each in ranges
    )


def _normal(text: str) -> str:
    return " ".join(text.split()).casefold()
