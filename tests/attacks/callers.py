"""Callers of the FHIR side, each with the token that such a one would have."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from fhir_server.auth.permission.access import ScopedAccess
from fhir_server.auth.permission.bearer import BearerToken, LaunchContext
from fhir_server.auth.permission.scopes import parse_scopes
from fhir_server.engine.context import Context, Request, Response
from fhir_server.engine.engine import handle
from fhir_server.errors import FhirError
from fhir_server.r4 import values
from tests.facade_server import ORIGIN

BASE = f"{ORIGIN}/fhir"


def patient_token(
    patient: str, scopes: str = "patient/*.cruds", *, fhir_user: str | None = None, role: Any = "patient"
) -> BearerToken:
    """Return a token that a patient (or `fhir_user` for one) has given an app."""
    now = datetime.now(UTC)
    return BearerToken(
        "app",
        parse_scopes(scopes),
        now + timedelta(hours=1),
        now,
        user_id="u",
        role=role,
        fhir_user=fhir_user or f"Patient/{patient}",
        context=LaunchContext(patient=patient),
    )


def system_token(scopes: str = "system/*.cruds") -> BearerToken:
    """Return the token of a service."""
    now = datetime.now(UTC)
    return BearerToken("lab", parse_scopes(scopes), now + timedelta(hours=1), now)


async def ask(services: Any, token: BearerToken, method: str, url: str, body: Any = None, **more: Any) -> Response:
    """Return the answer of the engine; that of an error has its status and its OperationOutcome."""
    path, _, query = url.partition("?")
    pairs: Any = [tuple(pair.split("=", 1)) for pair in query.split("&")] if query else []
    context = Context(services, BASE, access=ScopedAccess(token, base_url=BASE))
    elements = None if body is None else values.decode(values.encode(body))
    try:
        return await handle(context, Request(method, path, pairs, elements, **more))
    except FhirError as error:
        return Response(error.status, values.encode(error.outcome()))


def resource_of(answer: Response) -> dict[str, Any]:
    """Return the resource that an answer holds."""
    resource: dict[str, Any] = values.decode(answer.json or b"{}")
    return resource
