"""The one error tree of the server.

Every layer raises these; `fhir_server.http` is the one place where an error becomes a status line and an
OperationOutcome (or problem+json at the facade). An error carries all the faults found, not just the first.
https://hl7.org/fhir/R4/operationoutcome.html
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Issue:
    """One entry of OperationOutcome.issue: `code` is from the IssueType value set, `expression` a FHIRPath."""

    code: str
    diagnostics: str
    expression: tuple[str, ...] = ()
    severity: str = "error"

    def to_fhir(self) -> dict[str, Any]:
        """Return the issue as an element of OperationOutcome.issue."""
        issue: dict[str, Any] = {"severity": self.severity, "code": self.code, "diagnostics": self.diagnostics}
        if self.expression:
            issue["expression"] = list(self.expression)
        return issue


def operation_outcome(issues: Iterable[Issue]) -> dict[str, Any]:
    """Return an OperationOutcome resource holding the issues."""
    return {"resourceType": "OperationOutcome", "issue": [issue.to_fhir() for issue in issues]}


class FhirError(Exception):
    """What a caller did, or met, that ends an interaction; subclasses fix the HTTP status and the issue code."""

    status: int = 500
    code: ClassVar[str] = "exception"

    def __init__(
        self,
        diagnostics: str = "",
        *,
        expression: str | None = None,
        issues: Iterable[Issue] = (),
        code: str | None = None,
    ) -> None:
        super().__init__(diagnostics)
        self.issues: tuple[Issue, ...] = tuple(issues) or (
            Issue(code or self.code, diagnostics, (expression,) if expression else ()),
        )
        self.headers: dict[str, str] = {}

    def outcome(self) -> dict[str, Any]:
        """Return the OperationOutcome that tells the caller what happened."""
        return operation_outcome(self.issues)


class BadRequest(FhirError):
    """The request cannot be understood: malformed JSON, an unknown search parameter under strict handling."""

    status, code = 400, "invalid"


class Unauthorized(FhirError):
    """No token, or one that is not valid."""

    status, code = 401, "login"


class Forbidden(FhirError):
    """The token is valid but its scopes do not cover the interaction."""

    status, code = 403, "forbidden"


class NotFound(FhirError):
    """No such resource, version or type, or none that the caller may see."""

    status, code = 404, "not-found"


class MethodNotAllowed(FhirError):
    """The path exists but not for this method."""

    status, code = 405, "not-supported"


class NotAcceptable(FhirError):
    """No representation that the server has is acceptable to the caller."""

    status, code = 406, "not-supported"


class Conflict(FhirError):
    """The current state of the resource forbids the interaction."""

    status, code = 409, "conflict"


class Gone(FhirError):
    """The resource has been deleted."""

    status, code = 410, "deleted"


class PreconditionFailed(FhirError):
    """If-Match, If-None-Match or a condition of a conditional interaction does not hold."""

    status, code = 412, "conflict"


class TooLarge(FhirError):
    """The request is beyond a limit of the server."""

    status, code = 413, "too-long"


class UnsupportedMediaType(FhirError):
    """The body's media type is not one that the interaction takes."""

    status, code = 415, "not-supported"


class RangeNotSatisfiable(FhirError):
    """No byte of the content is in the range that is asked for."""

    status, code = 416, "value"


class Unprocessable(FhirError):
    """The body is well formed but breaks a rule of FHIR; its issues name every fault."""

    status, code = 422, "invalid"


class TooManyRequests(FhirError):
    """The caller must slow down."""

    status, code = 429, "throttled"


class NotSupported(FhirError):
    """The interaction or operation is one that this server does not have."""

    status, code = 501, "not-supported"


class BadGateway(FhirError):
    """Another server, which this one answers from, does not do what is asked of it; a retry changes nothing."""

    status, code = 502, "not-supported"


class Unavailable(FhirError):
    """The database, or another thing the server depends on, cannot be reached now; a retry may succeed."""

    status, code = 503, "transient"
    retry_after: ClassVar[int] = 5
    """Seconds after which the caller should try again."""

    def __init__(self, diagnostics: str = "", **about: Any) -> None:
        super().__init__(diagnostics, **about)
        self.headers["Retry-After"] = str(self.retry_after)


class OutOfSpace(Unavailable):
    """The disk of the database is full; a retry succeeds once somebody has made room."""

    status = 507
    retry_after: ClassVar[int] = 30
