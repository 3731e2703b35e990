"""Errors of the facade as problem+json, in the caller's language. https://www.rfc-editor.org/rfc/rfc9457"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

from fhir_server.errors import FhirError
from fhir_server.hospital.api import texts
from fhir_server.http.audit.audit_context import seen
from fhir_server.own_urls import DEFAULT_BASE, problem_type
from fhir_server.store.database.outage import OUTAGES
from fhir_server.work.request_id import chosen_id
from translations.catalogue import N_, Language, translated

MEDIA_TYPE = "application/problem+json"

PROBLEMS: dict[str, tuple[int, str]] = {
    "malformed": (400, N_("The request could not be read.")),
    "bad_cursor": (400, N_("The cursor is not one of this list.")),
    "invalid_token": (401, N_("The access token is missing or not valid.")),
    "invalid_credentials": (401, N_("The name or the password is wrong.")),
    "second_factor_required": (401, N_("A code of the second factor is needed, too.")),
    "payment_declined": (402, N_("The payment was declined.")),
    "forbidden": (403, N_("The access token does not allow this.")),
    "second_factor_missing": (403, N_("The account needs a second factor, which is set up on the sign-in page.")),
    "account_inactive": (403, N_("The account is not active.")),
    "not_found": (404, N_("There is no such thing.")),
    "file_missing": (404, N_("The hospital has not brought this file in.")),
    "method_not_allowed": (405, N_("The method is not allowed here.")),
    "conflict": (409, N_("It was changed by somebody else meanwhile.")),
    "email_taken": (409, N_("The email address is in use.")),
    "phone_taken": (409, N_("The phone number is in use.")),
    "slot_taken": (409, N_("The time is already taken.")),
    "not_reschedulable": (409, N_("The appointment cannot be changed any more.")),
    "already_paid": (409, N_("It has been paid already.")),
    "already_arrived": (409, N_("The arrival was registered before.")),
    "not_arrived": (409, N_("The patient has not arrived.")),
    "not_completed": (409, N_("The appointment is not completed.")),
    "appointment_canceled": (409, N_("The appointment is canceled.")),
    "request_in_progress": (409, N_("A request with the same effect is still running.")),
    "too_large": (413, N_("The request is too large.")),
    "unsupported_media_type": (415, N_("The media type is not supported.")),
    "range_not_satisfiable": (416, N_("The range is outside the file.")),
    "validation_failed": (422, N_("The request has faults.")),
    "outside_hours": (422, N_("The doctor cannot be booked at that time.")),
    "in_the_past": (422, N_("The time is in the past.")),
    "amount_mismatch": (422, N_("Another amount is due.")),
    "insurance_not_verified": (422, N_("The insurance has not been verified for this.")),
    "too_early": (422, N_("It is too early to arrive.")),
    "too_late": (422, N_("The visit was too long ago to arrive.")),
    "too_far_ahead": (422, N_("The time is too far ahead to be booked.")),
    "too_far": (422, N_("You are too far from the clinic.")),
    "idempotency_key_reused": (422, N_("The Idempotency-Key was used with another body.")),
    "too_many_attempts": (429, N_("Too many attempts; wait a while.")),
    "too_many_streams": (429, N_("Too many streams are open.")),
    "internal_error": (500, N_("The server met a fault of its own.")),
    "fhir_refused": (502, N_("The FHIR server behind this service does not do what this needs.")),
    "unavailable": (503, N_("The server cannot answer now; try again.")),
    "gateway_unavailable": (503, N_("The payment gateway cannot be reached; nothing was charged.")),
    "payer_unavailable": (503, N_("The insurer cannot be reached; try again.")),
}
"""The status and the title of each problem by its code."""


class FieldError(BaseModel):
    """A fault of one field of the request."""

    field: str
    message: str


class ProblemDetails(BaseModel):
    """The body of an error: `code` is stable, `title` and `detail` are in the caller's language."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": f"{DEFAULT_BASE}/problems/slot_taken",
                "title": "The time is already taken.",
                "status": 409,
                "detail": "The time is already taken.",
                "code": "slot_taken",
            }
        }
    )

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str | None = Field(default=None, description="The id of the request, as in the header X-Request-Id.")
    challenge: str | None = Field(
        default=None, description="With `second_factor_required`: what `POST /user/login/second-factor` takes."
    )
    errors: list[FieldError] | None = Field(default=None, description="The faulty fields, with status 422.")


class Problem(FhirError):
    """Why a facade request ends: a code of PROBLEMS, and what is told besides."""

    def __init__(
        self,
        problem: str,
        *,
        detail: str | None = None,
        errors: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        challenge: str | None = None,
    ) -> None:
        super().__init__(detail or PROBLEMS[problem][1])
        self.problem = problem
        self.challenge = challenge
        self.detail = detail
        self.errors = [FieldError(field=field, message=message) for field, message in errors]
        self.headers.update(headers or {})


def invalid(field: str, message: str, code: str = "validation_failed") -> Problem:
    """Return the problem of one faulty field; the message is a key of `texts` or a text of its own."""
    return Problem(code, errors=[(field, message)])


def refused(field: str, code: str) -> Problem:
    """Return a problem that a field is the reason of, and whose title says all there is to say of it."""
    return invalid(field, code, code)


_BY_STATUS = {
    400: "malformed",
    401: "invalid_token",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    410: "not_found",
    412: "conflict",
    413: "too_large",
    415: "unsupported_media_type",
    422: "validation_failed",
    429: "too_many_attempts",
    502: "fhir_refused",
    503: "unavailable",
    507: "unavailable",  # a patient can do nothing about a full disk
}


def problem_of(error: FhirError) -> Problem:
    """Return an error of the FHIR layer as a problem; of the inside it says only why the database is away."""
    if isinstance(error, Problem):
        return error
    outage = str(error) if str(error) in OUTAGES else None
    return Problem(_BY_STATUS.get(error.status, "internal_error"), detail=outage, headers=_challenge(error))


def _challenge(error: FhirError) -> dict[str, str]:
    return {name: value for name, value in error.headers.items() if name in ("WWW-Authenticate", "Retry-After")}


def _faults(problem: Problem, title: str, language: Language) -> list[FieldError] | None:
    """Return the faulty fields; a 422 has one always, if only the body as a whole."""
    if PROBLEMS[problem.problem][0] != 422:
        return None
    errors = problem.errors or [FieldError(field="body", message=problem.problem)]
    return [_worded(fault, title if fault.message == problem.problem else None, language) for fault in errors]


def _worded(fault: FieldError, title: str | None, language: Language) -> FieldError:
    return FieldError(field=fault.field, message=title or texts.worded(fault.message, language))


def answer(problem: Problem, language: Language) -> JSONResponse:
    """Return the response that tells a problem."""
    status, text = PROBLEMS[problem.problem]
    seen().reason = problem.problem
    title = translated(text, language)
    details = ProblemDetails(
        type=problem_type(problem.problem),
        title=title,
        status=status,
        detail=texts.worded(problem.detail, language) if problem.detail else title,
        code=problem.problem,
        challenge=problem.challenge,
        request_id=chosen_id() or None,
        errors=_faults(problem, title, language),
    )
    headers = dict(problem.headers)
    if status == 503:
        headers.setdefault("Retry-After", "5")
    if status == 401:
        headers.setdefault("WWW-Authenticate", "Bearer")
    return JSONResponse(details.model_dump(exclude_none=True), status, headers, MEDIA_TYPE)
