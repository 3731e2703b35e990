"""SNOMED CT's Expression Constraint Language, read into a tree.

Read are: a concept with the hierarchy operators (`<`, `<<`, `<!`, `<<!`, `>`, `>>`, `>!`, `>>!`), `^` for the members
of a reference set, `*`, AND, OR and MINUS, parentheses, refinements with groups, cardinalities, `R`, `=` and `!=`,
numbers and texts as values, and dotted attributes. Filters in double braces and history supplements are refused.
https://docs.snomed.org/snomed-ct-specifications/snomed-ct-expression-constraint-language
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

from terminology.model.issues import TerminologyError, issue

_LONGEST = 20_000
_DEEPEST = 40

_TOKEN = re.compile(
    r"\s+|/\*.*?\*/|(?P<term>\|[^|]*\|)|(?P<number>\#[+-]?\d+(?:\.\d+)?)|(?P<text>\"(?:\\.|[^\"\\])*\")"
    r"|(?P<word>[A-Za-z]+)|(?P<id>\d{1,20})"
    r"|(?P<mark><<!|>>!|<<|>>|<!|>!|!!<|!!>|<=|>=|!=|\.\.|\{\{|\}\}|[<>^*(){}\[\],:=.+!])",
    re.DOTALL,
)
HIERARCHY = ("<<!", ">>!", "<<", ">>", "<!", ">!", "<", ">")


@dataclass(frozen=True, slots=True)
class Any_:
    """Any concept: `*`."""


@dataclass(frozen=True, slots=True)
class Named:
    """The concept with an id."""

    id: str


@dataclass(frozen=True, slots=True)
class Related:
    """What stands to the concepts of an expression as a hierarchy operator says."""

    operator: str
    of: Expression


@dataclass(frozen=True, slots=True)
class MembersOf:
    """The members of the reference sets that an expression has."""

    of: Expression


@dataclass(frozen=True, slots=True)
class Combined:
    """Two expressions joined by `and`, `or` or `minus`."""

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Dotted:
    """The values that an attribute has for the concepts of an expression."""

    of: Expression
    attribute: Expression


@dataclass(frozen=True, slots=True)
class Value:
    """A number or text that an attribute is compared with."""

    value: float | str


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute with a value: `least` and `most` say how often, None for any number."""

    name: Expression
    operator: str
    value: Expression | Value
    reverse: bool = False
    least: int | None = None
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Attributes that stand in one relationship group."""

    of: Refinement
    least: int | None = None
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Refinements:
    """Refinements joined by `and` or `or`."""

    operator: str
    parts: tuple[Refinement, ...]


@dataclass(frozen=True, slots=True)
class Refined:
    """The concepts of an expression that meet a refinement."""

    of: Expression
    by: Refinement


Expression: TypeAlias = "Any_ | Named | Related | MembersOf | Combined | Dotted | Refined"
Refinement: TypeAlias = "Attribute | Group | Refinements"


def parse(text: str) -> Expression:
    """Return the tree of an expression; raises TerminologyError with the place of what is not understood."""
    if len(text) > _LONGEST:
        raise _refused(text, "it is too long")
    parser = _Parser(text)
    expression = parser.expression(0)
    parser.require_end()
    return expression


def _refused(text: str, reason: str) -> TerminologyError:
    return TerminologyError(issue("error", "invalid", "vs-invalid", "INVALID_ECL", text[:200], reason))


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._split(text))
        self._place = 0

    def _split(self, text: str) -> list[tuple[str, str, int]]:
        tokens, place = [], 0
        while place < len(text):
            match = _TOKEN.match(text, place)
            if match is None:
                raise _refused(text, f"{text[place]!r} at {place + 1} has no meaning")
            place = match.end()
            if match.lastgroup not in (None, "term"):
                tokens.append((str(match.lastgroup), match[0], match.start()))
        return tokens

    # --- Tokens ------------------------------------------------------------------------------------------------

    def _peek(self, ahead: int = 0) -> str:
        place = self._place + ahead
        return self._tokens[place][1] if place < len(self._tokens) else ""

    def _kind(self) -> str:
        return self._tokens[self._place][0] if self._place < len(self._tokens) else ""

    def _take(self) -> str:
        token = self._peek()
        self._place += 1
        return token

    def _accept(self, *tokens: str) -> str:
        return self._take() if self._peek().upper() in tokens and self._peek() else ""

    def _require(self, token: str) -> None:
        if not self._accept(token):
            raise self._fault(f"{token!r} is missing")

    def _fault(self, reason: str) -> TerminologyError:
        at = self._tokens[self._place][2] + 1 if self._place < len(self._tokens) else len(self._text) + 1
        return _refused(self._text, f"{reason} at {at}")

    def require_end(self) -> None:
        """Raise TerminologyError where there is more."""
        if self._peek() in ("{{", "+"):
            raise self._fault("filters and history supplements are not supported,")
        if self._peek():
            raise self._fault(f"{self._peek()!r} is too much")

    # --- Expressions -------------------------------------------------------------------------------------------

    def expression(self, depth: int) -> Expression:
        """Return an expression with its refinement, and what is joined to it."""
        if depth > _DEEPEST:
            raise self._fault("it is nested too deeply")
        left = self._refined(depth)
        joined = ""
        while True:
            operator = self._accept("AND", "OR", "MINUS", ",")
            if not operator:
                return left
            operator = {",": "and"}.get(operator, operator.lower())
            if joined and (operator != joined or operator == "minus"):
                raise self._fault("parentheses are needed")
            joined = operator
            left = Combined(operator, left, self._refined(depth))

    def _refined(self, depth: int) -> Expression:
        expression = self._sub_expression(depth)
        while self._accept("."):
            expression = Dotted(expression, self._sub_expression(depth))
        if self._accept(":"):
            return Refined(expression, self._refinement(depth + 1))
        return expression

    def _sub_expression(self, depth: int) -> Expression:
        if self._peek() in HIERARCHY:
            operator = self._take()
            return Related(operator, self._focus(depth))
        return self._focus(depth)

    def _focus(self, depth: int) -> Expression:
        if depth > _DEEPEST:
            raise self._fault("it is nested too deeply")
        if self._accept("^"):
            return MembersOf(self._focus(depth + 1))
        if self._accept("*"):
            return Any_()
        if self._accept("("):
            expression = self.expression(depth + 1)
            self._require(")")
            return expression
        if self._kind() == "id":
            return Named(self._take())
        raise self._fault(f"a concept is needed, not {self._peek()[:20]!r}," if self._peek() else "a concept is needed")

    # --- Refinements -------------------------------------------------------------------------------------------

    def _refinement(self, depth: int) -> Refinement:
        parts = [self._part(depth)]
        joined = ""
        while True:
            operator = self._joining()
            if not operator:
                break
            if joined and operator != joined:
                raise self._fault("parentheses are needed")
            joined = operator
            self._take()
            parts.append(self._part(depth))
        return parts[0] if len(parts) == 1 else Refinements(joined, tuple(parts))

    def _joining(self) -> str:
        """Return the operator that joins a further attribute here; none where it joins a further expression."""
        return {"AND": "and", ",": "and", "OR": "or"}.get(self._peek().upper(), "")

    def _part(self, depth: int) -> Refinement:
        if depth > _DEEPEST:
            raise self._fault("it is nested too deeply")
        least, most = self._cardinality()
        if self._accept("{"):
            inner = self._refinement(depth + 1)
            self._require("}")
            return Group(inner, least, most)
        if self._peek() == "(" and least is None and self._is_refinement():
            self._take()
            inner = self._refinement(depth + 1)
            self._require(")")
            return inner
        return self._attribute(depth, least, most)

    def _is_refinement(self) -> bool:
        """Whether the parenthesis here holds a refinement, and not the name of an attribute."""
        level = 0
        for place in range(self._place, len(self._tokens)):
            text = self._tokens[place][1]
            level += (text == "(") - (text == ")")
            if level == 0:
                return place + 1 >= len(self._tokens) or self._tokens[place + 1][1] not in ("=", "!=")
        return False

    def _cardinality(self) -> tuple[int | None, int | None]:
        if not self._accept("["):
            return None, None
        least = self._count()
        self._require("..")
        most = None if self._accept("*") else self._count()
        self._require("]")
        return least, most

    def _count(self) -> int:
        if self._kind() != "id":
            raise self._fault("a number is needed")
        return int(self._take())

    def _attribute(self, depth: int, least: int | None, most: int | None) -> Attribute:
        reverse = bool(self._kind() == "word" and self._accept("R"))
        name = self._sub_expression(depth)
        operator = self._accept("=", "!=", "<=", ">=", "<", ">")
        if not operator:
            raise self._fault("a comparison is needed")
        if self._kind() in ("number", "text"):
            return Attribute(name, operator, self._value(), reverse, least, most)
        if operator not in ("=", "!="):
            raise self._fault("a number is needed")
        return Attribute(name, operator, self._sub_expression(depth + 1), reverse, least, most)

    def _value(self) -> Value:
        kind, text = self._kind(), self._take()
        return Value(float(text[1:])) if kind == "number" else Value(re.sub(r"\\(.)", r"\1", text[1:-1]))
