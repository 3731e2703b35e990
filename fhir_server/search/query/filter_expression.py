"""The `_filter` language as a tree: comparisons, joined by and, or, not and parentheses.
https://hl7.org/fhir/R4/search_filter.html
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

OPERATORS = frozenset(
    {"eq", "ne", "co", "sw", "ew", "gt", "lt", "ge", "le", "ap", "sa", "eb", "pr", "po", "ss", "sb", "in", "ni", "re"}
)
# In a URL the plus sign of a time zone that was not escaped arrives as a space.
_ZONED = r"\d{4}-\d\d-\d\dT[\d:.]+ \d\d:\d\d(?![^\s()\[\]])"
_TOKEN = re.compile(rf'\s*(?:(?P<string>"(?:[^"\\]|\\.)*")|(?P<mark>[()\[\]])|(?P<word>{_ZONED}|[^\s()\[\]"]+))')
_ESCAPE = re.compile(r"\\(.)")
_DEEPEST = 50


@dataclass(frozen=True, slots=True)
class Step:
    """One name of a path, and what a bracket behind it asks of what it leads to."""

    name: str
    condition: Expression | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """A path compared with a value; `quoted` where it stood in quotes."""

    path: tuple[Step, ...]
    operator: str
    value: str
    quoted: bool


@dataclass(frozen=True, slots=True)
class Joined:
    """Expressions that must hold all (`and`) or of which one must (`or`)."""

    operator: str
    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Negated:
    """An expression that must not hold."""

    expression: Expression


Expression: TypeAlias = Comparison | Joined | Negated


def parse_filter(text: str) -> Expression:
    """Return the tree of a filter; raises ValueError where it is none."""
    parser = _Parser(text)
    expression = parser.disjunction(0)
    if parser.current is not None:
        raise ValueError(f"{parser.current[:40]!r} is not expected")
    return expression


class _Parser:
    """A recursive descent with one token in hand."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.current: str | None = None
        self.quoted = False
        self.advance()

    def advance(self) -> str:
        """Return the token in hand and take the next one."""
        taken = self.current
        if self.text[self.position :].strip() == "":
            self.current, self.position = None, len(self.text)
        else:
            match = _TOKEN.match(self.text, self.position)
            if match is None:
                raise ValueError(f"{self.text[self.position :][:40]!r} cannot be read")
            self.position = match.end()
            self.quoted = match["string"] is not None
            self.current = _ESCAPE.sub(r"\1", match["string"][1:-1]) if self.quoted else match[match.lastgroup or 0]
        return taken or ""

    def has(self, word: str) -> bool:
        """Take the token in hand where it is this word."""
        if self.current == word and not self.quoted:
            self.advance()
            return True
        return False

    def expect(self, mark: str) -> None:
        """Take a mark; raises ValueError where another token is in hand."""
        if not self.has(mark):
            raise ValueError(f"{mark!r} is missing")

    def disjunction(self, depth: int) -> Expression:
        """Return what `or` joins, which binds less than `and`."""
        return self._joined("or", lambda: self._joined("and", lambda: self.term(depth)))

    def _joined(self, operator: str, part: Callable[[], Expression]) -> Expression:
        parts = [part()]
        while self.has(operator):
            parts.append(part())
        return parts[0] if len(parts) == 1 else Joined(operator, tuple(parts))

    def term(self, depth: int) -> Expression:
        """Return a comparison, a negation, or what stands in parentheses."""
        if depth > _DEEPEST:
            raise ValueError("it is nested too deeply")
        if self.has("("):
            expression = self.disjunction(depth + 1)
            self.expect(")")
            return expression
        if self.current == "not" and not self.quoted:
            self.advance()
            self.expect("(")
            inner = self.disjunction(depth + 1)
            self.expect(")")
            return Negated(inner)
        return self.comparison(depth)

    def comparison(self, depth: int) -> Comparison:
        """Return a path, an operator and a value."""
        path = self.path(depth)
        operator = self.advance()
        if operator not in OPERATORS:
            raise ValueError(f"{operator[:20]!r} is not an operator")
        if self.current is None or (self.current in "()[]" and not self.quoted):
            raise ValueError(f"the value after {operator!r} is missing")
        quoted = self.quoted
        return Comparison(path, operator, self.advance(), quoted)

    def path(self, depth: int) -> tuple[Step, ...]:
        """Return the steps of a path; a bracket may follow each but the last."""
        steps: list[Step] = []
        while True:
            if self.current is None or self.quoted or self.current in "()[]":
                raise ValueError("a parameter's name is missing")
            *names, last = self.advance().removeprefix(".").split(".")
            steps += [Step(name, None) for name in names]
            if not self.has("["):
                return (*steps, Step(last, None))
            condition = self.disjunction(depth + 1)
            self.expect("]")
            steps.append(Step(last, condition))
            if self.current is None or self.quoted or not self.current.startswith("."):
                raise ValueError("a path must go on after its bracket")
