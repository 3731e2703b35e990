"""What a token's scopes must cover for each endpoint: the types that it reads, shows and writes, in one table.

An endpoint acts with more rights than the token where booking or paying needs it; so that it never tells or does more
than the user has opened to the app, each type must be covered here first. What the catalogue shows to everybody without
a token needs none: places, services, people and their free times.

Some resources the hospital writes itself, as what follows from an act: the Slot that is taken, the Invoice, the
PaymentReconciliation, the Encounter of a visit, the insurer's CoverageEligibilityResponse. No patient's scope gives the
right to write those, so here the act must be covered, and reading what comes of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from starlette.requests import Request

from fhir_server.auth.permission.scopes import Scopes
from fhir_server.errors import Forbidden

_OWED = ("Invoice.rs", "CoverageEligibilityRequest.rs", "CoverageEligibilityResponse.rs")
"""What an appointment shows of money."""
_PAID = (*_OWED, "PaymentReconciliation.rs")
_VERIFIED = (
    "Coverage.rs",
    "CoverageEligibilityRequest.c",
    "CoverageEligibilityResponse.r",
    "Organization.r",
    "InsurancePlan.s",
)
_PLANNED = ("CarePlan.rs", "Encounter.rs")
"""What tells which visit something belongs to."""
_TESTED = ("ServiceRequest.rs", "DiagnosticReport.rs", "Observation.rs")

TABLE: Mapping[str, tuple[str, ...]] = {
    "POST /user/logout": (),
    "GET /user/profile": ("Patient.r",),
    "PUT /user/profile": ("Patient.ru",),
    "DELETE /user/profile": ("*.r", "Patient.u"),
    "PUT /user/password": (),
    "GET /user/export": ("*.r",),
    "GET /user/family": ("RelatedPerson.rs",),
    "POST /user/family": ("RelatedPerson.c",),
    "PUT /user/family/{member_id}": ("RelatedPerson.ru",),
    "DELETE /user/family/{member_id}": ("RelatedPerson.rd",),
    "POST /booking/insurance/verify": _VERIFIED,
    "POST /booking/payment": ("Appointment.ru", *_PAID),
    "POST /booking/appointments": ("Appointment.cr", *_OWED),
    "PUT /booking/appointments/{appointment_id}": ("Appointment.ru", *_OWED),
    "DELETE /booking/appointments/{appointment_id}": ("Appointment.ru", *_PAID),
    "GET /booking/appointments/{appointment_id}/calendar": ("Appointment.r",),
    "POST /clinic/arrival": ("Appointment.ru", "Encounter.rs"),
    "GET /clinic/wait-time": (),
    "GET /clinic/wait-time?appointment_id": ("Appointment.r", "Encounter.rs"),
    "POST /clinic/visit/complete": ("Appointment.ru", "Encounter.rs"),
    "POST /follow-up/appointment": ("Appointment.cr", *_OWED),
    "GET /notifications": ("Communication.rs",),
    "PUT /notifications/{notification_id}/read": ("Communication.ru",),
    "GET /notifications/stream": ("Communication.r",),
    "GET /history/appointments": ("Appointment.rs", *_PAID),
    "GET /treatment-plan/{appointment_id}": ("Appointment.r", *_PLANNED, "MedicationRequest.rs", *_TESTED),
    "GET /lab-tests/results": (*_PLANNED, *_TESTED),
    "POST /lab-tests/insurance/verify": ("ServiceRequest.r", *_VERIFIED),
    "POST /lab-tests/payment": ("ServiceRequest.r", "Appointment.u", *_PAID),
    "GET /medicine/prescription": (*_PLANNED, "MedicationRequest.rs"),
    "POST /medicine/insurance/verify": ("MedicationRequest.r", *_VERIFIED),
    "GET /history/documents": ("DocumentReference.rs", "DiagnosticReport.rs"),
    "POST /history/documents": ("DocumentReference.c", "Binary.c"),
    "GET /history/documents/download": ("DocumentReference.r", "Binary.r"),
}
"""Types and letters by endpoint; a row with `?name` counts beside the other one where that parameter is given."""

_BY_ITSELF = frozenset({"Binary", "Coverage", "Encounter", "Invoice", "PaymentReconciliation"}) | {
    "CoverageEligibilityRequest",
    "CoverageEligibilityResponse",
}
"""Types that endpoints read by their own rights, which a scope with search parameters would not narrow."""


def require_covered(request: Request, scopes: Scopes) -> None:
    """Raise Forbidden (`insufficient_scope`), naming a type, unless the scopes cover the endpoint of the request."""
    endpoint = f"{request.method} {request.scope['route'].path_format}"
    rows = [endpoint, *(f"{endpoint}?{name}" for name in request.query_params)]
    needed = [need for row in rows if row in TABLE for need in TABLE[row]]
    missing = None if endpoint in TABLE else "a row of its own"
    missing = missing or next((need for need in _each(needed) if not _covers(scopes, *need.split("."))), None)
    if missing is not None:
        error = Forbidden(f"The access token has no scope for {missing}.")
        error.headers["WWW-Authenticate"] = 'Bearer realm="hospital", error="insufficient_scope"'
        raise error


def is_covered(scopes: Scopes, need: str) -> bool:
    """Return whether the scopes cover the letters of a type ("Encounter.rs"), all of it where it is written."""
    return all(_covers(scopes, *each.split(".")) for each in _each([need]))


def _each(needed: Iterable[str]) -> Iterable[str]:
    for need in needed:
        resource_type, letters = need.split(".")
        yield from (f"{resource_type}.{letter}" for letter in letters)


def _covers(scopes: Scopes, resource_type: str, letter: str) -> bool:
    return any(
        scope.covers(letter, resource_type) and not (scope.parameters and _is_whole(resource_type, letter))
        for scope in scopes.resources
    )


def _is_whole(resource_type: str, letter: str) -> bool:
    """Return whether all of the type must be covered: what is written, or read by the endpoint's own rights."""
    return letter in "cud" or resource_type in _BY_ITSELF or resource_type == "*"
