"""From the text of a FHIRPath expression to its syntax tree. https://hl7.org/fhirpath/N1/grammar.html"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from fhir_server.r4.fhirpath.items import FhirPathError
from fhir_server.r4.fhirpath.lexer import Token, tokens
from fhir_server.r4.fhirpath.quantity import CALENDAR_UNITS, quantity
from fhir_server.r4.fhirpath.syntax import (
    Call,
    Constant,
    Indexer,
    Literal,
    Member,
    Node,
    Operation,
    Polarity,
    TypeOperation,
    Variable,
)
from fhir_server.r4.fhirpath.temporal import Temporal
from fhir_server.work.budget import spend

# The grammar's alternatives from the loosest to the tightest; all are left associative.
_LEVELS = (
    ("implies",),
    ("or", "xor"),
    ("and",),
    ("in", "contains"),
    ("=", "~", "!=", "!~"),
    ("<=", "<", ">", ">="),
    ("|",),
    ("is", "as"),
    ("+", "-", "&"),
    ("*", "/", "div", "mod"),
)
_PRECEDENCE = {operator: level for level, operators in enumerate(_LEVELS) for operator in operators}
# Words that are tokens of their own in the grammar, so that no path can start with them.
_RESERVED = frozenset(("and", "or", "xor", "implies", "div", "mod"))
_DEEPEST = 100
_LONGEST = 20_000
_LONGEST_NUMBER = 100


def parse(expression: str) -> Node:
    """Return the syntax tree of an expression; raise FhirPathError, naming the place, where it is not FHIRPath."""
    if len(expression) > _LONGEST:
        raise FhirPathError(f"An expression has at most {_LONGEST} characters.")
    spend(1 + len(expression))
    return _Parser(expression).entire()


class _Parser:
    def __init__(self, expression: str) -> None:
        self.expression = expression
        self.tokens = tokens(expression)
        self.position = 0
        self.depth = 0

    def entire(self) -> Node:
        node = self.binary(0)
        if self.tokens[self.position].kind != "end":
            raise self.unexpected()
        return node

    def unexpected(self) -> FhirPathError:
        token = self.tokens[self.position]
        return FhirPathError(f"Unexpected {token.text!r} at character {token.position + 1} of {self.expression!r}.")

    def accept(self, symbol: str) -> bool:
        token = self.tokens[self.position]
        if token.kind == "symbol" and token.text == symbol:
            self.position += 1
            return True
        return False

    def expect(self, symbol: str) -> None:
        if not self.accept(symbol):
            raise self.unexpected()

    def next(self) -> Token:
        self.position += 1
        return self.tokens[self.position - 1]

    def binary(self, lowest: int) -> Node:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise FhirPathError("The expression is nested too deeply.")
        left = self.polarity()
        while True:
            token = self.tokens[self.position]
            level = _PRECEDENCE.get(token.text, -1) if token.kind in ("name", "symbol") else -1
            if level < lowest:
                break
            self.position += 1
            if token.text in ("is", "as"):
                left = TypeOperation(token.text, left, self.qualified_name())
            else:
                left = Operation(token.text, left, self.binary(level + 1))
        self.depth -= 1
        return left

    def polarity(self) -> Node:
        signs = []
        while self.tokens[self.position].kind == "symbol" and self.tokens[self.position].text in "+-":
            signs.append(self.next().text)
        node = self.invocations(self.term())
        for sign in reversed(signs):
            node = Polarity(sign, node)
        return node

    def invocations(self, node: Node) -> Node:
        while True:
            if self.accept("."):
                node = self.invocation(node)
            elif self.accept("["):
                node = Indexer(node, self.binary(0))
                self.expect("]")
            else:
                return node

    def invocation(self, target: Node | None) -> Node:
        token = self.next()
        if token.kind == "variable" and target is None:
            return Variable(token.text)
        if token.kind not in ("name", "delimited"):
            self.position -= 1
            raise self.unexpected()
        if not self.accept("("):
            return Member(target, token.text)
        return Call(target, token.text, self.arguments(self.sort_key if token.text == "sort" else self.whole))

    def arguments(self, read: Callable[[], Node]) -> tuple[Node, ...]:
        if self.accept(")"):
            return ()
        arguments = [read()]
        while self.accept(","):
            arguments.append(read())
        self.expect(")")
        return tuple(arguments)

    def whole(self) -> Node:
        return self.binary(0)

    def sort_key(self) -> Node:
        node = self.binary(0)
        token = self.tokens[self.position]
        if token.kind == "name" and token.text in ("asc", "desc"):
            self.position += 1
            return Polarity("-", node) if token.text == "desc" else node
        return node

    def term(self) -> Node:
        token = self.tokens[self.position]
        if token.kind == "symbol":
            return self.symbol_term()
        if token.kind in ("variable", "delimited"):
            return self.invocation(None)
        if token.kind == "name" and token.text not in _RESERVED:
            if token.text in ("true", "false"):
                return Literal("System.Boolean", self.next().text == "true")
            return self.invocation(None)
        return self.literal()

    def symbol_term(self) -> Node:
        if self.accept("("):
            node = self.binary(0)
            self.expect(")")
            return node
        if self.accept("{"):
            self.expect("}")
            return Literal(None)
        if self.accept("%"):
            token = self.next()
            if token.kind in ("name", "delimited", "string"):
                return Constant(token.text)
            self.position -= 1
        raise self.unexpected()

    def literal(self) -> Node:
        token = self.next()
        match token.kind:
            case "string":
                return Literal("System.String", token.text)
            case "number":
                return self.number(token.text)
            case "date":
                return self.temporal("System.Date", token.text[1:])
            case "datetime":
                return self.temporal("System.DateTime", token.text[1:].removesuffix("T"))
            case "time":
                return self.temporal("System.Time", token.text[2:])
        self.position -= 1
        raise self.unexpected()

    def temporal(self, type_name: str, text: str) -> Literal:
        if Temporal.parse(type_name, text) is None:
            raise FhirPathError(f"{text!r} in {self.expression!r} is not a valid {type_name.removeprefix('System.')}.")
        return Literal(type_name, text)

    def number(self, text: str) -> Literal:
        if len(text) > _LONGEST_NUMBER:
            raise FhirPathError(f"A number in {self.expression!r} is too long.")
        token = self.tokens[self.position]
        if token.kind == "string" or (token.kind == "name" and token.text in CALENDAR_UNITS):
            self.position += 1
            return Literal("System.Quantity", quantity(Decimal(text), token.text, calendar=token.kind == "name"))
        if "." in text:
            return Literal("System.Decimal", Decimal(text))
        return Literal("System.Integer", int(text))

    def qualified_name(self) -> str:
        names = [self.identifier()]
        while self.accept("."):
            names.append(self.identifier())
        return ".".join(names)

    def identifier(self) -> str:
        if self.tokens[self.position].kind not in ("name", "delimited"):
            raise self.unexpected()
        return self.next().text
