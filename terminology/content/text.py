"""Searching in texts: the words of a filter, each as the beginning of a word, in any order; case and accents do not
count.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from functools import lru_cache

from terminology.model.concepts import Concept, Designation

_WORD = re.compile(r"\w+")


def fold(text: str) -> str:
    """Return the text without case and accents."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(character for character in decomposed if not unicodedata.combining(character))


def tokens(text: str) -> list[str]:
    """Return the words of a text, without case and accents."""
    return _WORD.findall(fold(text))


@lru_cache(maxsize=256)
def words(text: str) -> tuple[str, ...]:
    """Return the words of a filter."""
    return tuple(_WORD.findall(fold(text)))


def has_words(text: str, searched: tuple[str, ...]) -> bool:
    """Whether each wanted word begins a word of the text."""
    folded = fold(text)
    if any(word not in folded for word in searched):
        return False
    present = _WORD.findall(folded)
    return all(any(word.startswith(want) for word in present) for want in searched)


def matches(concept: Concept, searched: tuple[str, ...], designations: Iterable[Designation] | None = None) -> bool:
    """Whether the code begins with the filter, or a designation (of the concept, where no others are given) has its
    words.
    """
    if not searched:
        return True
    if len(searched) == 1 and fold(concept.code).startswith(searched[0]):
        return True
    texts = [each.value for each in (concept.designations if designations is None else designations)]
    return any(has_words(text, searched) for text in [concept.code, concept.display or "", *texts])


class TextIndex:
    """The words of many concepts, to find those that may have the words of a filter."""

    def __init__(self, concepts: Iterable[Concept]) -> None:
        self._places: dict[str, array[int]] = {}
        for place, concept in enumerate(concepts):
            texts = {concept.code, *(each.value for each in concept.designations)}
            indexed = {fold(concept.code), *(word for text in texts for word in _WORD.findall(fold(text)))}
            for word in indexed:
                self._places.setdefault(word, array("I")).append(place)
        self._words = sorted(self._places)

    def candidates(self, searched: Sequence[str]) -> Sequence[int]:
        """Return the places, in order, of the concepts with a word that begins with the rarest of those wanted."""
        listed = min((self._beginning(word) for word in searched), key=lambda lists: sum(map(len, lists)), default=[])
        return sorted({place for places in listed for place in places})

    def _beginning(self, word: str) -> list[array[int]]:
        lists: list[array[int]] = []
        for index in range(bisect_left(self._words, word), len(self._words)):
            if not self._words[index].startswith(word):
                break
            lists.append(self._places[self._words[index]])
        return lists
