"""Languages: tags of BCP 47, and weighted lists of them as in Accept-Language.

https://www.rfc-editor.org/rfc/rfc5646, https://www.rfc-editor.org/rfc/rfc9110#name-accept-language
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TAG = re.compile(
    r"(?P<language>[A-Za-z]{2,8})(?P<extended>(?:-[A-Za-z]{3}){0,3})(?:-(?P<script>[A-Za-z]{4}))?"
    r"(?:-(?P<region>[A-Za-z]{2}|[0-9]{3}))?(?P<rest>(?:-[A-Za-z0-9]{1,8})*)"
)
_QUALITY = re.compile(r"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")


@dataclass(frozen=True, slots=True)
class Language:
    """A language tag, in parts that are empty where it has none."""

    tag: str
    language: str
    script: str = ""
    region: str = ""
    rest: str = ""

    @classmethod
    def parse(cls, tag: str) -> Language | None:
        """Return the parts of a tag, None for what is none."""
        match = _TAG.fullmatch(tag.strip())
        if match is None:
            return None
        language = (match["language"] + match["extended"]).lower()
        rest = match["rest"].lower()
        return cls(tag.strip(), language, (match["script"] or "").title(), (match["region"] or "").upper(), rest)

    def same(self, other: Language) -> bool:
        """Whether both tags mean the same language, whatever their case."""
        return self._parts() == other._parts()

    def same_region(self, other: Language) -> bool:
        """Whether both mean the same language in the same region."""
        return (self.language, self.region) == (other.language, other.region)

    def same_language(self, other: Language) -> bool:
        """Whether both mean the same language, in whatever region."""
        return self.language == other.language

    def _parts(self) -> tuple[str, str, str, str]:
        return self.language, self.script, self.region, self.rest


@dataclass(frozen=True, slots=True)
class LanguageRange:
    """A language of a list, or `*`; quality 0 refuses it."""

    tag: str
    quality: float
    language: Language | None
    implied: bool = False


@dataclass(frozen=True, slots=True)
class LanguageRanges:
    """A weighted list of languages, best first."""

    ranges: tuple[LanguageRange, ...]
    weighted: bool

    @classmethod
    def parse(cls, text: str, *, others: bool) -> LanguageRanges:
        """Read a list such as `de, en;q=0.5, *;q=0`; raise ValueError for what is none.

        With `others`, languages that are not listed are better than nothing, unless the list says something of `*`.
        """
        ranges = [_range(part) for part in text.split(",") if part.strip()]
        if not ranges:
            raise ValueError(text)
        weighted = ";" in text
        if others and all(each.tag != "*" for each in ranges):
            ranges.append(LanguageRange("*", 0.001, None, implied=True))
        return cls(tuple(sorted(ranges, key=lambda each: -each.quality)), weighted)

    def __iter__(self) -> Iterator[LanguageRange]:
        return iter(self.ranges)

    @property
    def stated(self) -> tuple[LanguageRange, ...]:
        """The ranges that the list had."""
        return tuple(each for each in self.ranges if not each.implied)

    def as_parameter(self) -> str:
        """Return the list as an expansion tells it."""
        if not self.weighted:
            return ",".join(each.tag for each in self.stated)
        return ", ".join(each.tag if each.quality == 1 else f"{each.tag}; q={each.quality:g}" for each in self.stated)

    def summary(self) -> str:
        """Return the languages as messages name them."""
        return ", ".join(each.tag for each in self.stated if each.quality > 0)


def _range(text: str) -> LanguageRange:
    tag, _, parameters = text.strip().partition(";")
    tag = tag.strip()
    quality = 1.0
    for parameter in parameters.split(";") if parameters else ():
        name, _, value = parameter.strip().partition("=")
        if name.strip() != "q" or not _QUALITY.fullmatch(value.strip()):
            raise ValueError(text)
        quality = float(value.strip())
    language = None if tag == "*" else Language.parse(tag)
    if language is None and tag != "*":
        raise ValueError(text)
    return LanguageRange(tag, quality, language)
