"""A node of the graph: a JSON value of a FHIR type, and the resource in which it stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from fhir_server.engine.graphql.faults import Fault
from fhir_server.engine.graphql.places import EDGE, element
from fhir_server.r4 import fhirpath
from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.r4.fhirpath import FhirPathError, Item, TooCostly
from fhir_server.work.budget import spend
from fhir_server.work.threads import apart

_FEW, _MANY = 2000, 200_000
steps: ContextVar[int] = ContextVar("steps", default=_MANY)
"""How many steps an expression may take now."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


async def evaluated(work: Callable[_P, _T], *arguments: _P.args, **named: _P.kwargs) -> _T:
    """Return what evaluates expressions: at once where they are cheap, else in a thread. Raises Fault."""
    token = steps.set(_FEW)
    try:
        return work(*arguments, **named)
    except TooCostly:
        pass
    finally:
        steps.reset(token)
    try:
        return await apart(work, *arguments, **named)
    except TooCostly as error:
        raise Fault(str(error), code="too-costly") from error


@dataclass(frozen=True, slots=True)
class Node:
    """A JSON value of a type, with the resource that it is in: of a contained resource, that is its container."""

    type: str
    value: Any
    resource: Any

    @property
    def is_root(self) -> bool:
        """Whether this is a resource that stands on its own."""
        return self.type in RESOURCE_TYPES and self.value is self.resource

    def below(self, name: str, arguments: Mapping[str, Any]) -> FieldResult | None:
        """Return the nodes of an element that meet the arguments; None where there are none."""
        declared = element(self.type, name)
        value = self.value.get(name) if isinstance(self.value, dict) else None
        if declared is None or value is None:
            return None
        values = value if declared.many and isinstance(value, list) else [value]
        nodes = _selected([self._child(each, declared.type) for each in values], name, self, arguments)
        return FieldResult(nodes, declared.many) if nodes else None

    def _child(self, value: Any, declared: str) -> Node:
        # What a search has found stands on its own.
        return (
            root(value)
            if self.type.endswith(EDGE) and declared in RESOURCE_TYPES
            else Node(_type_of(value, declared), value, self.resource)
        )

    def items(self, expression: str) -> list[Item]:
        """Return what a FHIRPath gives on the node; raises Fault."""
        try:
            return fhirpath.compile(expression).items(self.value, self.type, resource=self.resource, budget=steps.get())
        except TooCostly:
            raise
        except FhirPathError as error:
            raise Fault(f"The FHIRPath {expression[:80]!r} cannot be evaluated: {error}") from error

    def holds(self, expression: str) -> bool:
        """Return whether a FHIRPath gives true on the node."""
        return [item.value for item in self.items(expression)] == [True]


@dataclass(frozen=True, slots=True)
class FieldResult:
    """What a field finds: nodes, and whether they are a list by definition."""

    nodes: list[Node]
    many: bool


def root(resource: Any) -> Node:
    """Return the node of a resource that stands on its own."""
    return Node(_type_of(resource, ""), resource, resource)


def _type_of(value: Any, declared: str) -> str:
    return str(value.get("resourceType", declared)) if isinstance(value, dict) else declared


# --- Which members of a list: https://hl7.org/fhir/R4/graphql.html#list -------------------------------------------


def _selected(nodes: list[Node], name: str, parent: Node, arguments: Mapping[str, Any]) -> list[Node]:
    """Return the nodes that meet all arguments; _offset and _count apply to what the others leave."""
    for argument, value in arguments.items():
        if argument == "fhirpath":
            # Evaluated on the list as a whole, so that $index counts its members.
            kept = {id(item.value) for item in parent.items(f"`{name}`.where({value})")}
            nodes = [node for node in nodes if id(node.value) in kept]
        elif argument not in ("_offset", "_count"):
            nodes = [node for node in nodes if _has(node.value, argument, value)]
    offset = whole(arguments.get("_offset", 0))
    return nodes[offset : offset + whole(arguments.get("_count", len(nodes)))]


def _has(value: Any, name: str, expected: Any) -> bool:
    content = value.get(name) if isinstance(value, dict) else None
    have = {text(each) for each in (content if isinstance(content, list) else [content]) if each is not None}
    alternatives = expected if isinstance(expected, list) else [expected]
    spend(len(alternatives))
    return not have.isdisjoint(text(each) for each in alternatives)


def text(value: Any) -> str:
    """Return a primitive value as FHIR writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(getattr(value, "text", value))


def whole(value: Any) -> int:
    """Return the value of _count or _offset; raises Fault."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise Fault("_count and _offset are whole numbers from 0 on.", code="value")
