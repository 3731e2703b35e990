"""A user's rights over the data held: GET /user/export, DELETE /user/profile."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from fhir_server.engine.context import Context
from fhir_server.engine.gdpr.erasure import erase_patient
from fhir_server.engine.gdpr.record import record, record_bundle
from fhir_server.hospital.accounts import accounts
from fhir_server.hospital.api.caller import AppCalled
from fhir_server.hospital.api.description.openapi import errors
from fhir_server.hospital.api.fields import Body, Password
from fhir_server.hospital.records.page.names import Names
from fhir_server.hospital.records.page.record_page import record_page
from fhir_server.http.streamed import StreamedResponse

router = APIRouter(prefix="/user", tags=["user"])

_JSON = "application/fhir+json"
_COPIES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The user's whole record: a collection Bundle, or a page to read where Accept asks for HTML.",
        "content": {
            _JSON: {"example": {"resourceType": "Bundle", "type": "collection", "entry": []}},
            "text/html": {"schema": {"type": "string"}},
        },
    }
}
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Vary": "Accept, Accept-Language"}
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; base-uri 'none'"


class Farewell(Body):
    """The password, so that a token that was stolen erases nobody."""

    password: Password = Field(examples=["correct horse battery"])


@router.get("/export", responses={**_COPIES, **errors("invalid_token", "forbidden")}, response_class=Response)
async def export(request: Request, caller: AppCalled) -> Response:
    """Return all that is held of the user, files included."""
    patient = await caller.patient()
    context = Context(caller.server.services, caller.server.base_url)
    if "text/html" in request.headers.get("accept", ""):
        rows = record(context, patient["id"])
        names = Names(caller.server.services, patient["id"], caller.server.base_url)
        page = record_page(rows, await caller.language(), await caller.clock(), names)
        headers = {**_HEADERS, "Content-Security-Policy": _POLICY}
        return StreamedResponse(page, media_type="text/html; charset=utf-8", headers=headers)
    headers = {**_HEADERS, "Content-Disposition": 'attachment; filename="health-record.json"'}
    return StreamedResponse(record_bundle(context, patient["id"]), media_type=_JSON, headers=headers)


@router.delete(
    "/profile",
    status_code=204,
    responses=errors("invalid_token", "forbidden", "invalid_credentials", "too_many_attempts", "conflict"),
)
async def erase(body: Farewell, caller: AppCalled, request: Request) -> Response:
    """Erase the user: the account, and every version of everything that is the user's.

    What the law keeps stays without the person: invoices and payments. The audit trail stays.
    """
    server = caller.server
    await accounts.confirm(server, caller.token.user_id, body.password, request)
    await erase_patient(server.services, server.base_url, caller.patient_id)
    return Response(status_code=204)
