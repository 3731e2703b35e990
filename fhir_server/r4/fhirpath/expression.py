"""Compiled expressions, for invariants and free-form FHIRPath. https://hl7.org/fhir/R4/fhirpath.html"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.r4.fhirpath.code import Code
from fhir_server.r4.fhirpath.compiler import NO_CONSTANTS, Compiler
from fhir_server.r4.fhirpath.items import FhirPathError, Item, Items, Scope, make
from fhir_server.r4.fhirpath.parser import parse
from fhir_server.r4.fhirpath.syntax import Call, Member, Node
from fhir_server.r4.fhirpath.types import FHIR_NAMES

Resource = dict[str, Any]


class Expression:
    """A FHIRPath expression, compiled once for each type of node that it is evaluated on."""

    __slots__ = ("_codes", "_constants", "text", "tree")

    def __init__(self, text: str, tree: Node, constants: Mapping[str, Code] = NO_CONSTANTS) -> None:
        self.text = text
        self.tree = tree
        self._constants = constants
        self._codes: dict[str, Code] = {}
        self._code("Resource")

    @property
    def functions(self) -> frozenset[str]:
        """The names of the functions that the expression calls."""
        return frozenset(node.name for node in self.tree.walk() if isinstance(node, Call))

    @property
    def names(self) -> frozenset[str]:
        """The names of elements and types that the expression has in its paths."""
        return frozenset(node.name for node in self.tree.walk() if isinstance(node, Member))

    def items(
        self,
        node: object,
        type_name: str,
        *,
        resource: Resource | None = None,
        root: Resource | None = None,
        budget: int | None = None,
    ) -> Items:
        """Return what the expression gives on a JSON value of a FHIR type.

        `resource` is the resource that holds the node (%resource), `root` the one that contains that, or a Bundle
        around it (%rootResource). `budget` limits the items that may be visited on the way.
        Raises FhirPathError where the expression cannot be evaluated.
        """
        this, scope, code = self._start(node, type_name, resource, root)
        if budget is not None:
            scope.limit(budget)
        try:
            return named(code.items([this], scope))
        except RecursionError as error:
            raise FhirPathError("The expression is nested too deeply.") from error
        except ArithmeticError as error:
            raise FhirPathError("A number is out of range.") from error

    def on(self, focus: Items, type_name: str, scope: Scope) -> Items:
        """Return what the expression gives on a collection of one FHIR type, which may be empty, within a scope.

        Raises FhirPathError as `items` does.
        """
        try:
            return named(self._code(type_name).items(focus, scope))
        except RecursionError as error:
            raise FhirPathError("The expression is nested too deeply.") from error
        except ArithmeticError as error:
            raise FhirPathError("A number is out of range.") from error

    def holds(
        self, node: object, type_name: str, *, resource: Resource | None = None, root: Resource | None = None
    ) -> bool:
        """Say whether a JSON value of a FHIR type meets the expression as an invariant.

        Only false breaks an invariant. An empty result does not: `reference.startsWith('#').not()` (ref-1) is empty
        for a Reference that has only a display, and such a Reference is right. Raises FhirPathError as `items` does.
        """
        this, scope, code = self._start(node, type_name, resource, root)
        try:
            return code.truth([this], scope) is not False
        except RecursionError as error:
            raise FhirPathError("The expression is nested too deeply.") from error
        except ArithmeticError as error:
            raise FhirPathError("A number is out of range.") from error

    def _start(
        self, node: object, type_name: str, resource: Resource | None, root: Resource | None
    ) -> tuple[Item, Scope, Code]:
        # Not every object with a `resourceType` is a resource: ExampleScenario.instance has an element of that name.
        if isinstance(node, dict) and (type_name in RESOURCE_TYPES or type_name in ("Resource", "DomainResource")):
            type_name = node.get("resourceType", type_name)
            resource = resource or node
        this = make(Item, (type_name, node, None))
        return this, Scope(this, resource, root or resource), self._code(type_name)

    def _code(self, type_name: str) -> Code:
        code = self._codes.get(type_name)
        if code is None:
            try:
                code = self._codes[type_name] = Compiler(type_name, constants=self._constants).code(self.tree)
            except RecursionError as error:
                raise FhirPathError("The expression is nested too deeply.") from error
        return code


def named(items: Items) -> Items:
    """Return the items with computed values under their FHIR types: a System.Boolean is a boolean."""
    for item in items:
        if item[0] in FHIR_NAMES:
            return [Item(FHIR_NAMES.get(each.type, each.type), each.value, each.extension) for each in items]
    return items


@lru_cache(maxsize=4096)
def compile(expression: str) -> Expression:
    """Return the compiled expression; raise FhirPathError, a ValueError, for what is not FHIRPath or not supported."""
    return compile_with(expression, NO_CONSTANTS)


def compile_with(expression: str, constants: Mapping[str, Code]) -> Expression:
    """Return the compiled expression, which may name these constants beside FHIR's; raise FhirPathError as `compile`.

    It is not kept for the next caller.
    """
    try:
        return Expression(expression, parse(expression), constants)
    except RecursionError as error:
        raise FhirPathError("The expression is nested too deeply.") from error
