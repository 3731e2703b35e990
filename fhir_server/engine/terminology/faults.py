"""What the library refuses, as errors of the server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fhir_server.errors import FhirError, Issue
from terminology import TerminologyError
from terminology.parameters.outcomes import write_outcome

_STATUSES = {"invalid": 400, "required": 400, "structure": 400, "value": 400, "not-found": 404}


class TerminologyFault(FhirError):
    """A terminology operation cannot be answered; the texts and ids of its issues are those of the ecosystem."""

    status, code = 422, "processing"

    def __init__(self, error: TerminologyError) -> None:
        super().__init__(
            issues=[
                Issue(each.code, each.text, (each.expression,) if each.expression else (), each.severity)
                for each in error.issues
            ]
        )
        self.status = _STATUSES.get(error.code, 422)
        self._outcome = write_outcome(error.issues)

    def outcome(self) -> dict[str, Any]:
        """Return the OperationOutcome, with the text of each issue also as its diagnostics."""
        issues = [
            {**element, "diagnostics": issue.diagnostics}
            for element, issue in zip(self._outcome["issue"], self.issues, strict=True)
        ]
        return {**self._outcome, "issue": issues}


@contextmanager
def refusing() -> Iterator[None]:
    """Raise what the library refuses within as TerminologyFault."""
    try:
        yield
    except TerminologyError as error:
        raise TerminologyFault(error) from error
