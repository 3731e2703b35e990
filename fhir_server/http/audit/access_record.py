"""From an HTTP request and its answer to the record of the access."""

from __future__ import annotations

import time

from starlette.types import Scope

from fhir_server.audit.bundle_entries import bundle_entries
from fhir_server.audit.records import AccessRecord, Actor
from fhir_server.auth.permission.bearer import BearerToken
from fhir_server.engine.access import Access
from fhir_server.engine.context import Request, Response
from fhir_server.engine.disclosure import Disclosure
from fhir_server.engine.versions import new_id
from fhir_server.http.client_address import client_address
from fhir_server.work.request_id import current


def access_record(
    scope: Scope,
    path: str,
    status: int,
    *,
    access: Access | None,
    request: Request | None,
    response: Response | None,
    disclosure: Disclosure,
) -> AccessRecord:
    """Return the record of an access; `access` is None where the caller was not let in at all."""
    token: BearerToken | None = getattr(access, "token", None)
    entries, kind = bundle_entries(request, response)
    event_id, chosen_id = event_ids()
    return AccessRecord(
        id=event_id,
        milliseconds=int(time.time() * 1000),
        actor=actor(scope, token),
        method=scope["method"],
        path=path,
        query=scope["query_string"].decode("latin-1"),
        status=status,
        patient=(token.context.patient or "") if token else "",
        location=kind or (response.location or "" if response else ""),
        entries=entries,
        patients=tuple(disclosure.patients),
        questions=tuple(disclosure.questions),
        request_id=chosen_id,
    )


def event_ids() -> tuple[str, str]:
    """Return the id for the event of the request being answered, and the request's own where the caller chose that."""
    request_id = current.get()
    if request_id is None:
        return new_id(), ""
    return (new_id(), request_id.text) if request_id.chosen else (request_id.text, "")


def actor(scope: Scope, token: BearerToken | None) -> Actor:
    """Return who acts, from the address of a request and the token that it brought."""
    address = client_address(scope).text
    if token is None:
        return Actor(address)
    return Actor(address, token.client_id, token.user_id or "", token.username or "", token.fhir_user or "")
