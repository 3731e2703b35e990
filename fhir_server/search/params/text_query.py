"""The language of `_text` and `_content`: `(bone OR liver) AND metastases NOT "family history"`.

Words side by side are AND, a comma is OR; AND, OR and NOT are operators in upper and lower case, and words inside
quotes, where the words stand next to one another. https://hl7.org/fhir/R4/search.html#content
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from fhir_server.search.query.values import unescape

_TOKEN = re.compile(r'\s+|"((?:[^"\\]|\\.)*)"|([(),])|((?:[^\s"(),\\]|\\.?)+)', re.DOTALL)
_MOST_TOKENS = 1000
_DEEPEST = 20


@dataclass(frozen=True, slots=True)
class Words:
    """Text to be found: in quotes as a phrase, else each word of it."""

    text: str
    phrase: bool = False


@dataclass(frozen=True, slots=True)
class Joined:
    """Several parts, all of which or one of which must hold."""

    operator: Literal["and", "or"]
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Negated:
    """A part that must not hold."""

    part: Part


Part: TypeAlias = Words | Joined | Negated


def parse_text(value: str) -> Part:
    """Return what a value asks, as it stands in the URL; raises ValueError where it cannot be read."""
    parser = _Parser(_tokens(value))
    part = parser.either(",", lambda: parser.either("or", parser.all_of))
    if parser.next is not None:
        raise ValueError("a parenthesis is closed that was not opened")
    return part


Token: TypeAlias = str | Words


def _tokens(value: str) -> list[Token]:
    tokens: list[Token] = []
    position = 0
    while position < len(value):
        match = _TOKEN.match(value, position)
        if match is None:
            raise ValueError("a quotation mark is not closed")
        position = match.end()
        quoted, mark, word = match.groups()
        if quoted is not None:
            tokens.append(Words(unescape(quoted.replace('\\"', '"')), phrase=True))
        elif mark is not None:
            tokens.append(mark)
        elif word is not None:
            tokens.append(word.lower() if word.lower() in ("and", "or", "not") else Words(unescape(word)))
    if len(tokens) > _MOST_TOKENS:
        raise ValueError(f"it has more than {_MOST_TOKENS} words")
    return tokens


class _Parser:
    """Reads tokens from the left."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._position = 0
        self._depth = 0

    @property
    def next(self) -> Token | None:
        """The token that is not read yet."""
        return self._tokens[self._position] if self._position < len(self._tokens) else None

    def _take(self) -> None:
        self._position += 1

    def either(self, mark: str, part: Callable[[], Part]) -> Part:
        """Read parts between marks, one of which must hold."""
        parts = [part()]
        while self.next == mark:
            self._take()
            parts.append(part())
        return parts[0] if len(parts) == 1 else Joined("or", tuple(parts))

    def all_of(self) -> Part:
        """Read parts that must all hold."""
        parts = [self._one()]
        while self.next is not None and self.next not in (")", ",", "or"):
            if self.next == "and":
                self._take()
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else Joined("and", tuple(parts))

    def _one(self) -> Part:
        negations = 0
        while self.next == "not":
            self._take()
            negations += 1
        following = self.next
        if following == "(":
            part = self._group()
        elif isinstance(following, Words):
            self._take()
            part = following
        else:
            raise ValueError(f"a word is missing before {following!r}" if following else "a word is missing at the end")
        return Negated(part) if negations % 2 else part

    def _group(self) -> Part:
        self._take()
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ValueError(f"parentheses are nested more than {_DEEPEST} deep")
        part = self.either(",", lambda: self.either("or", self.all_of))
        if self.next != ")":
            raise ValueError("a parenthesis is not closed")
        self._take()
        self._depth -= 1
        return part
