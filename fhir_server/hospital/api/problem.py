"""Errors of the facade as problem+json, in the caller's language. https://www.rfc-editor.org/rfc/rfc9457"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

from fhir_server.errors import FhirError
from fhir_server.hospital.api import texts
from fhir_server.http.audit.audit_context import seen
from fhir_server.store.database.outage import OUTAGES
from mappings.notifications.messages import Language

MEDIA_TYPE = "application/problem+json"
TYPES = "https://hms.example.org/problems/"

# Status, and the title in each language.
PROBLEMS: dict[str, tuple[int, str, str]] = {
    "malformed": (400, "The request could not be read.", "No se pudo leer la solicitud."),
    "bad_cursor": (400, "The cursor is not one of this list.", "El cursor no es de esta lista."),
    "invalid_token": (401, "The access token is missing or not valid.", "Falta el token de acceso o no es válido."),
    "invalid_credentials": (401, "The name or the password is wrong.", "El nombre o la contraseña no son correctos."),
    "payment_declined": (402, "The payment was declined.", "El pago fue rechazado."),
    "forbidden": (403, "The access token does not allow this.", "El token de acceso no permite esto."),
    "account_inactive": (403, "The account is not active.", "La cuenta no está activa."),
    "not_found": (404, "There is no such thing.", "No existe."),
    "file_missing": (
        404,
        "The hospital has not brought this file in.",
        "El hospital no ha incorporado este archivo.",
    ),
    "method_not_allowed": (405, "The method is not allowed here.", "El método no está permitido aquí."),
    "conflict": (409, "It was changed by somebody else meanwhile.", "Otra persona lo ha modificado entretanto."),
    "email_taken": (409, "The email address is in use.", "El correo electrónico ya está en uso."),
    "phone_taken": (409, "The phone number is in use.", "El número de teléfono ya está en uso."),
    "slot_taken": (409, "The time is already taken.", "Esa hora ya está ocupada."),
    "not_reschedulable": (409, "The appointment cannot be changed any more.", "La cita ya no se puede cambiar."),
    "already_paid": (409, "It has been paid already.", "Ya está pagado."),
    "already_arrived": (409, "The arrival was registered before.", "La llegada ya estaba registrada."),
    "not_arrived": (409, "The patient has not arrived.", "El paciente no ha llegado."),
    "not_completed": (409, "The appointment is not completed.", "La cita no está completada."),
    "appointment_canceled": (409, "The appointment is canceled.", "La cita está cancelada."),
    "request_in_progress": (
        409,
        "A request with the same effect is still running.",
        "Todavía se está procesando una solicitud igual.",
    ),
    "too_large": (413, "The request is too large.", "La solicitud es demasiado grande."),
    "unsupported_media_type": (415, "The media type is not supported.", "El tipo de contenido no se admite."),
    "range_not_satisfiable": (416, "The range is outside the file.", "El rango está fuera del archivo."),
    "validation_failed": (422, "The request has faults.", "La solicitud contiene errores."),
    "outside_hours": (422, "The doctor cannot be booked at that time.", "El médico no tiene esa hora disponible."),
    "in_the_past": (422, "The time is in the past.", "La hora ya ha pasado."),
    "amount_mismatch": (422, "Another amount is due.", "El importe debido es otro."),
    "insurance_not_verified": (
        422,
        "The insurance has not been verified for this.",
        "El seguro no se ha verificado para esto.",
    ),
    "too_early": (422, "It is too early to arrive.", "Es demasiado pronto para registrar la llegada."),
    "too_late": (422, "The visit was too long ago to arrive.", "La cita fue hace demasiado tiempo."),
    "too_far_ahead": (422, "The time is too far ahead to be booked.", "La fecha está demasiado lejos."),
    "too_far": (422, "You are too far from the clinic.", "Está demasiado lejos de la clínica."),
    "idempotency_key_reused": (
        422,
        "The Idempotency-Key was used with another body.",
        "La Idempotency-Key se usó con otro contenido.",
    ),
    "too_many_attempts": (429, "Too many attempts; wait a while.", "Demasiados intentos; espere un momento."),
    "too_many_streams": (429, "Too many streams are open.", "Hay demasiadas conexiones abiertas."),
    "internal_error": (500, "The server met a fault of its own.", "El servidor ha sufrido un fallo interno."),
    "fhir_refused": (
        502,
        "The FHIR server behind this service does not do what this needs.",
        "El servidor FHIR de este servicio no hace lo necesario.",
    ),
    "unavailable": (503, "The server cannot answer now; try again.", "El servidor no puede responder; reinténtelo."),
    "gateway_unavailable": (
        503,
        "The payment gateway cannot be reached; nothing was charged.",
        "No se puede contactar con la pasarela de pago; no se ha cobrado nada.",
    ),
    "payer_unavailable": (
        503,
        "The insurer cannot be reached; try again.",
        "No se puede contactar con la aseguradora; reinténtelo.",
    ),
}


class FieldError(BaseModel):
    """A fault of one field of the request."""

    field: str
    message: str


class ProblemDetails(BaseModel):
    """The body of an error: `code` is stable, `title` and `detail` are in the caller's language."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": f"{TYPES}slot_taken",
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
    ) -> None:
        super().__init__(detail or PROBLEMS[problem][1])
        self.problem = problem
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
    known = str(error) if str(error) in OUTAGES else None
    return Problem(_BY_STATUS.get(error.status, "internal_error"), detail=known, headers=_challenge(error))


def _challenge(error: FhirError) -> dict[str, str]:
    return {name: value for name, value in error.headers.items() if name in ("WWW-Authenticate", "Retry-After")}


def _faults(problem: Problem, title: str, language: Language) -> list[FieldError] | None:
    """Return the faulty fields; a 422 has one always, if only the body as a whole."""
    if PROBLEMS[problem.problem][0] != 422:
        return None
    found = problem.errors or [FieldError(field="body", message=problem.problem)]
    return [_said(fault, title if fault.message == problem.problem else None, language) for fault in found]


def _said(fault: FieldError, title: str | None, language: Language) -> FieldError:
    return FieldError(field=fault.field, message=title or texts.said(fault.message, language))


def answer(problem: Problem, language: Language) -> JSONResponse:
    """Return the response that tells a problem."""
    status, english, spanish = PROBLEMS[problem.problem]
    seen().reason = problem.problem
    title = spanish if language == "es" else english
    details = ProblemDetails(
        type=TYPES + problem.problem,
        title=title,
        status=status,
        detail=texts.said(problem.detail, language) if problem.detail else title,
        code=problem.problem,
        errors=_faults(problem, title, language),
    )
    headers = dict(problem.headers)
    if status == 503:
        headers.setdefault("Retry-After", "5")
    if status == 401:
        headers.setdefault("WWW-Authenticate", "Bearer")
    return JSONResponse(details.model_dump(exclude_none=True), status, headers, MEDIA_TYPE)
