"""The expressions of search parameters, compiled for one resource type. https://hl7.org/fhir/R4/searchparameter.html"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from fhir_server.r4.fhirpath.code import Code
from fhir_server.r4.fhirpath.compiler import Compiler
from fhir_server.r4.fhirpath.expression import named
from fhir_server.r4.fhirpath.items import FhirPathError, Item, Items, Scope
from fhir_server.r4.fhirpath.parser import parse
from fhir_server.r4.fhirpath.syntax import Call, Indexer, Member, Node, Operation, TypeOperation
from fhir_server.r4.fhirpath.types import accepts, is_fhir_type

Resource = dict[str, Any]


class Path:
    """A search expression as a function from a JSON object of its base type to items."""

    __slots__ = ("_base", "_branches", "text")

    def __init__(self, text: str, base: str, codes: list[Code]) -> None:
        self.text = text
        self._base = base
        self._branches = [_branch(code, base) for code in codes]

    def __call__(self, node: Resource, resource: Resource | None = None) -> Items:
        """Return the items that the expression finds in a node; `resource` is the resource that holds the node."""
        branches = self._branches
        if len(branches) == 1:
            return branches[0](node, resource)
        result: Items = []
        for branch in branches:
            items = branch(node, resource)
            if items:
                result = result + items if result else items
        return result


_MOST_STEPS = 200_000
"""What a search expression may take on one resource; official ones take some per value."""


def _branch(code: Code, base: str) -> Callable[[Resource, Resource | None], Items]:
    if code.chain is not None:
        walk = code.chain.walk()
        return lambda node, resource: walk(node)

    def evaluate(node: Resource, resource: Resource | None) -> Items:
        this = Item(base, node)
        scope = Scope(this, resource or node, resource or node)
        scope.limit(_MOST_STEPS)
        try:
            return named(code.items([this], scope))
        except RecursionError as error:
            raise FhirPathError("The expression is nested too deeply.") from error
        except ArithmeticError as error:
            raise FhirPathError("A number is out of range.") from error

    return evaluate


@lru_cache(maxsize=8192)
def compile_path(expression: str, base: str) -> Path:
    """Return a search expression for one resource type, or for the type of a composite's element.

    Of a union, only the branches that start at `base` (or at Resource or DomainResource) stay, and their items are not
    made distinct. Raises FhirPathError, a ValueError, for what is not FHIRPath, for an element that the type does not
    have, for a function that an index cannot rest on (now, today), and where no branch concerns `base`.
    """
    try:
        codes = [
            Compiler(base, search=True).code(branch)
            for branch in _branches(parse(expression))
            if _concerns(branch, base)
        ]
    except RecursionError as error:
        raise FhirPathError("The expression is nested too deeply.") from error
    if not codes:
        raise FhirPathError(f"No path in {expression!r} starts at {base}.")
    return Path(expression, base, codes)


def _branches(node: Node) -> list[Node]:
    branches: list[Node] = []
    while isinstance(node, Operation) and node.operator == "|":
        branches.append(node.right)
        node = node.left
    return [node, *reversed(branches)]


def _concerns(branch: Node, base: str) -> bool:
    root: Node | None = branch
    while isinstance(root, Member | Call | Indexer | TypeOperation):
        if isinstance(root, Member) and root.target is None:
            return not (root.name[:1].isupper() and is_fhir_type(root.name)) or accepts(root.name, base)
        root = root.operand if isinstance(root, TypeOperation) else root.target
    return True
