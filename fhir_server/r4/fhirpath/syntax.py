"""The syntax tree of a FHIRPath expression. https://hl7.org/fhirpath/N1/grammar.html"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Node:
    """A part of an expression; the subclasses are the productions of the grammar."""

    def children(self) -> Iterator[Node]:
        """Yield the parts that this part is made of."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Node):
                yield value
            elif isinstance(value, tuple):
                yield from value

    def walk(self) -> Iterator[Node]:
        """Yield this part and every part below it."""
        pending: list[Node] = [self]
        while pending:
            node = pending.pop()
            yield node
            pending.extend(node.children())


@dataclass(frozen=True, slots=True)
class Literal(Node):
    """A value written out; `type` is its System type, None for the empty collection `{}`."""

    type: str | None
    value: object = None


@dataclass(frozen=True, slots=True)
class Variable(Node):
    """`$this`, `$index` or `$total`."""

    name: str


@dataclass(frozen=True, slots=True)
class Constant(Node):
    """An external constant such as `%resource`; `name` is without the percent sign."""

    name: str


@dataclass(frozen=True, slots=True)
class Member(Node):
    """An element's name, or a type's at the start of a path; without a target it applies to `$this`."""

    target: Node | None
    name: str


@dataclass(frozen=True, slots=True)
class Call(Node):
    """A function call; without a target it applies to `$this`."""

    target: Node | None
    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Indexer(Node):
    """`target[index]`."""

    target: Node
    index: Node


@dataclass(frozen=True, slots=True)
class Polarity(Node):
    """A sign before an expression."""

    sign: str
    operand: Node


@dataclass(frozen=True, slots=True)
class Operation(Node):
    """Two operands and the operator between them."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class TypeOperation(Node):
    """`operand is type` or `operand as type`."""

    operator: str
    operand: Node
    type: str


def type_specifier(node: Node) -> str | None:
    """Return the type name that a function's argument spells, such as `Patient` or `System.String`."""
    match node:
        case Member(None, name):
            return name
        case Member(Member(None, namespace), name):
            return f"{namespace}.{name}"
    return None
