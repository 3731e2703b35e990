"""How many steps Python's way of matching a regular expression takes: by backtracking, as `re` does, and counted.

It follows the tree that `re` itself parses, so it knows what the project's patterns use and refuses anything else.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

Codes = Sequence[int]
Go = Callable[[int], bool]
Matcher = Callable[[int, Go], bool]

MOST_STEPS = 200_000
_MANY = 40
_REPEATS = (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT)
_ALPHABET = [ord(char) for char in "aA0 -_.:/<>\"'\\([{%+|\n\x00é\u3000"]


class TooMany(Exception):
    """The matching took more steps than are counted."""


class Backtracking:
    """A pattern, to be matched against texts whose steps are counted."""

    def __init__(self, pattern: re.Pattern[Any]) -> None:
        text = pattern.pattern
        self.tree = _parser.parse(text, pattern.flags & ~re.UNICODE if isinstance(text, str) else pattern.flags)
        self.ignores_case = bool(pattern.flags & re.IGNORECASE)
        self._matcher = self._sequence(list(self.tree))

    def steps(self, text: Codes, *, searching: bool, full: bool = True) -> int:
        """Return how many steps it takes to find no, or the first, match; at most MOST_STEPS."""
        self._text, self._steps = text, 0
        try:
            for start in range(len(text) + 1) if searching else (0,):
                if self._matcher(start, lambda end: searching or not full or end == len(text)):
                    break
        except TooMany:
            return MOST_STEPS
        return self._steps

    def _spend(self) -> None:
        self._steps += 1
        if self._steps >= MOST_STEPS:
            raise TooMany

    def _sequence(self, nodes: list[Any]) -> Matcher:
        if not nodes:
            return lambda at, go: go(at)
        first, rest = self._node(*nodes[0]), self._sequence(nodes[1:])
        return lambda at, go: first(at, lambda then: rest(then, go))

    def _node(self, kind: Any, values: Any) -> Matcher:
        match kind:
            case sre.LITERAL | sre.NOT_LITERAL | sre.IN | sre.ANY:
                return self._one(cache(lambda code: accepts(kind, values, code, ignores_case=self.ignores_case)))
            case sre.SUBPATTERN:
                return self._sequence(list(values[3]))
            case sre.BRANCH:
                branches = [self._sequence(list(each)) for each in values[1]]
                return lambda at, go: any(branch(at, go) for branch in branches)
            case sre.MAX_REPEAT | sre.MIN_REPEAT:
                return self._repeat(*values)
            case sre.POSSESSIVE_REPEAT:
                return self._possessive(*values)
            case sre.ATOMIC_GROUP:
                return self._possessive(1, 1, values)
            case sre.AT:
                return self._place(values)
            case sre.GROUPREF:
                return lambda at, go: go(at)  # taken as empty, which can only make the matching longer
            case sre.ASSERT | sre.ASSERT_NOT:
                inner = self._sequence(list(values[1]))
                if values[0] < 0:
                    return lambda at, go: go(at)
                expected = kind is sre.ASSERT
                return lambda at, go: inner(at, lambda _: True) is expected and go(at)
        raise NotImplementedError(str(kind))

    def _one(self, accepted: Callable[[int], bool]) -> Matcher:
        def match(at: int, go: Go) -> bool:
            self._spend()
            return at < len(self._text) and accepted(self._text[at]) and go(at + 1)

        return match

    def _possessive(self, least: int, most: Any, body: Any) -> Matcher:
        inner = self._sequence(list(body))

        def match(at: int, go: Go) -> bool:
            times = 0
            while times < most:
                self._spend()
                end = _end(inner, at)
                if end in (None, at):
                    break
                at, times = end, times + 1
            return times >= least and go(at)

        return match

    def _place(self, values: Any) -> Matcher:
        if values in (sre.AT_BEGINNING, sre.AT_BEGINNING_STRING):
            return lambda at, go: at == 0 and go(at)
        if values in (sre.AT_END, sre.AT_END_STRING):
            return lambda at, go: at == len(self._text) and go(at)
        return lambda at, go: self._is_word(at - 1) is not self._is_word(at) and go(at)

    def _is_word(self, at: int) -> bool:
        return 0 <= at < len(self._text) and _in_category("CATEGORY_WORD", chr(self._text[at]))

    def _repeat(self, least: int, most: Any, body: Any) -> Matcher:
        inner = self._sequence(list(body))

        def match(at: int, go: Go, times: int = 0) -> bool:
            self._spend()
            if times < most and inner(at, lambda then: then != at and match(then, go, times + 1)):
                return True
            return times >= least and go(at)

        return match


def _end(inner: Matcher, at: int) -> Any:
    """Return where the first match of a part ends; None where there is none."""
    ends: list[int] = []
    return ends[0] if inner(at, lambda then: ends.append(then) or True) else None


def accepts(kind: Any, values: Any, code: int, *, ignores_case: bool = False) -> bool:
    """Return whether a node of one character takes a character."""
    if ignores_case and kind is sre.LITERAL:
        return chr(code).lower() == chr(values).lower()
    match kind:
        case sre.LITERAL:
            return bool(code == values)
        case sre.NOT_LITERAL:
            return bool(code != values)
        case sre.ANY:
            return True
        case sre.RANGE:
            return bool(values[0] <= code <= values[1])
        case sre.CATEGORY:
            return _in_category(str(values), chr(code))
    negated = bool(values) and values[0][0] is sre.NEGATE
    members = values[1:] if negated else values
    return any(accepts(*each, code) for each in members) is not negated


def _in_category(name: str, char: str) -> bool:
    test = {"DIGIT": char.isdigit(), "SPACE": char.isspace(), "WORD": char.isalnum() or char == "_"}
    return test[name.rpartition("_")[2]] is not ("_NOT_" in name)


def hostile(tree: Any, size: int, chance: random.Random) -> Iterator[list[int]]:
    """Yield texts that pump each repetition of a pattern to about a size, and then fit no more."""
    for prefix, body in _repetitions(list(tree), []):
        for _ in range(3):
            start, unit = _sample(prefix, chance), _sample(body, chance) or [ord("a")]
            pumped = unit * max(1, size // len(unit))
            for end in ([], [0], [ord("!")], [0x3000]):
                yield [*start, *pumped, *end]
    for code in _ALPHABET:
        yield [code] * size


def _repetitions(nodes: list[Any], before: list[Any]) -> Iterator[tuple[list[Any], list[Any]]]:
    for at, (kind, values) in enumerate(nodes):
        here = [*before, *nodes[:at]]
        if kind in _REPEATS:
            if values[1] is sre.MAXREPEAT or values[1] >= _MANY:
                yield here, list(values[2])
            yield from _repetitions(list(values[2]), here)
        elif kind is sre.SUBPATTERN:
            yield from _repetitions(list(values[3]), here)
        elif kind is sre.BRANCH:
            for each in values[1]:
                yield from _repetitions(list(each), here)


def _sample(nodes: list[Any], chance: random.Random) -> list[int]:
    """Return a text that the nodes take."""
    text: list[int] = []
    for kind, values in nodes:
        match kind:
            case sre.LITERAL:
                text.append(values)
            case sre.IN | sre.ANY | sre.NOT_LITERAL:
                named = [member for name, member in values if name is sre.LITERAL] if kind is sre.IN else []
                ranges = [member[0] for name, member in values if name is sre.RANGE] if kind is sre.IN else []
                fitting = [code for code in (*named, *ranges, *_ALPHABET) if accepts(kind, values, code)]
                text.append(chance.choice(fitting or [ord("a")]))
            case sre.SUBPATTERN:
                text += _sample(list(values[3]), chance)
            case sre.BRANCH:
                text += _sample(list(chance.choice(values[1])), chance)
            case sre.MAX_REPEAT | sre.MIN_REPEAT | sre.POSSESSIVE_REPEAT:
                for _ in range(max(values[0], chance.randint(0, 1)) if values[0] < 80 else values[0]):
                    text += _sample(list(values[2]), chance)
    return text
