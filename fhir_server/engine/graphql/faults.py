"""What is wrong with a statement, or with carrying it out, as GraphQL reports it: each fault with an OperationOutcome.

https://hl7.org/fhir/R4/graphql.html#errors
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from graphql import GraphQLSyntaxError, Node, get_location

from fhir_server.errors import BadRequest, FhirError, Issue, TooLarge, operation_outcome

TOO_COSTLY = "too-costly"


class Fault(BadRequest):
    """A fault of the statement, at a place in it."""

    def __init__(self, message: str, node: Node | None = None, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.node = node
        self.status = _status(self.issues)


class Faults(BadRequest):
    """All faults of a statement that were found at once."""

    def __init__(self, faults: Iterable[FhirError]) -> None:
        self.faults = tuple(faults)
        super().__init__(issues=[issue for fault in self.faults for issue in fault.issues])
        self.status = _status(self.issues)


def _status(issues: Iterable[Issue]) -> int:
    """Return 413 for a statement that asks for more than one may, else 400."""
    return TooLarge.status if any(issue.code == TOO_COSTLY for issue in issues) else BadRequest.status


def syntax_fault(error: GraphQLSyntaxError) -> Faults:
    """Return the fault of a text that is not GraphQL."""
    fault = Fault(error.message, code="structure")
    fault.node = _Located(error)
    return Faults([fault])


class _Located(Node):
    """Stands where no node could be read, for its place in the text."""

    def __init__(self, error: GraphQLSyntaxError) -> None:
        super().__init__()
        self.lines = [{"line": place.line, "column": place.column} for place in error.locations or ()]


def report(error: FhirError, node: Node | None = None) -> dict[str, Any]:
    """Return the answer that reports an error, without any data."""
    faults = error.faults if isinstance(error, Faults) else (error,)
    return {"data": None, "errors": [_one(fault, node) for fault in faults]}


def _one(error: FhirError, node: Node | None) -> dict[str, Any]:
    message = "; ".join(issue.diagnostics for issue in error.issues) or type(error).__name__
    entry: dict[str, Any] = {"message": message}
    place = getattr(error, "node", None) or node
    if isinstance(place, _Located):
        entry["locations"] = place.lines
    elif place is not None and place.loc is not None:
        at = get_location(place.loc.source, place.loc.start)
        entry["locations"] = [{"line": at.line, "column": at.column}]
    return entry | {"extensions": {"resource": operation_outcome(error.issues)}}
