"""The record of every access that is no FHIR request: to the hospital's endpoints, and to the authorization server.

Each leaves one AuditEvent, written down before the answer leaves. A FHIR request is recorded where it is answered.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fhir_server.audit.records import AccessRecord, Actor
from fhir_server.engine.disclosure import disclosing
from fhir_server.http import log
from fhir_server.http.audit.access_record import event_ids
from fhir_server.http.audit.audit_context import AuditContext, current
from fhir_server.http.client_address import client_address
from fhir_server.work.metrics import SIGN_INS

_EVENTS = {
    ("POST", "/oauth/login"): "login",
    ("POST", "/oauth/link"): "login",
    ("POST", "/oauth/second_factor"): "login",
    ("POST", "/oauth/second_factor/enrolment"): "login",
    ("POST", "/user/login/second-factor"): "login",
    ("POST", "/oauth/logout"): "logout",
    ("GET", "/oauth/logout/now"): "logout",
    ("POST", "/oauth/consent"): "consent",
    ("POST", "/oauth/apps"): "revocation",
    ("POST", "/oauth/sessions"): "logout",
    ("POST", "/oauth/sessions/all"): "logout",
    ("POST", "/oauth/token"): "token",
    ("POST", "/oauth/introspect"): "introspection",
    ("POST", "/oauth/revoke"): "revocation",
    ("POST", "/oauth/register"): "client-registration",
    ("POST", "/oauth/launch"): "launch",
    ("GET", "/oauth/userinfo"): "userinfo",
    ("POST", "/oauth/userinfo"): "userinfo",
    ("GET", "/oauth/patient"): "patient-picker",
    ("POST", "/oauth/patient"): "patient-picker",
    ("GET", "/oauth/encounter"): "encounter-picker",
    ("POST", "/oauth/encounter"): "encounter-picker",
    ("POST", "/user/login"): "login",
    ("POST", "/user/logout"): "logout",
    ("POST", "/user/token/refresh"): "token",
    ("POST", "/user/signup"): "user-added",
    ("POST", "/user/signup/confirm"): "user-added",
    ("POST", "/user/contact/confirm"): "user-changed",
    ("PUT", "/user/password"): "password-changed",
    ("POST", "/user/password/forgot"): "password-forgotten",
    ("POST", "/user/password/reset"): "password-changed",
}
_PROVIDER = "/oauth/providers/"
_PROVIDER_EVENTS = {("GET", "callback"): "login", ("POST", "back_channel_logout"): "logout"}
"""What a request below a provider's own path is, by its last part."""
_TELLS_NOTHING = ("/fhir/", "/oauth/", "/health/", "/docs/", "/.well-known/")
"""Below these there are FHIR, which records by itself, and pages and documents that are the same for everybody."""
_ALIKE = frozenset({"/", "/fhir", "/docs", "/openapi.json"})


class Recorded:
    """Records accesses with the trail of the application's state, `audit`; without one it does nothing.

    `unrecorded` makes the answer for an access that cannot be recorded, from its scope and the reference in the log.
    """

    def __init__(self, app: ASGIApp, unrecorded: Callable[[Scope, str], Response]) -> None:
        self.app = app
        self.unrecorded = unrecorded

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; its answer leaves when it is recorded."""
        event = _event(scope)
        trail = getattr(scope["app"].state, "audit", None) if event else None
        if event is None or trail is None:
            await self.app(scope, receive, send)
            return
        context, refused = AuditContext(), False

        async def recorded(message: Message) -> None:
            nonlocal refused
            if message["type"] == "http.response.start":
                try:
                    record = _record(scope, event, context, message["status"])
                    trail.record(record)
                    _count(record)
                except OSError as error:
                    refused = True
                    await self.unrecorded(scope, log.fault(error))(scope, receive, send)
            if not refused:
                await send(message)

        token = current.set(context)
        try:
            with disclosing() as context.disclosure:
                await self.app(scope, receive, recorded)
        finally:
            current.reset(token)


def _count(record: AccessRecord) -> None:
    if record.event in ("login", "token"):
        SIGN_INS.labels(record.event, "refused" if record.status >= 400 else "granted").inc()


def _event(scope: Scope) -> str | None:
    """Return the name of what a request is, None where it is not to be recorded here."""
    if scope["type"] != "http" or scope["method"] == "OPTIONS":
        return None
    path = scope["path"]
    event = _EVENTS.get((scope["method"], path))
    if event is not None:
        return event
    if path.startswith(_PROVIDER):
        return _PROVIDER_EVENTS.get((scope["method"], path.removeprefix(_PROVIDER).partition("/")[2]))
    return None if path in _ALIKE or path.startswith(_TELLS_NOTHING) else "hospital"


def _record(scope: Scope, event: str, context: AuditContext, status: int) -> AccessRecord:
    event_id, chosen_id = event_ids()
    return AccessRecord(
        id=event_id,
        milliseconds=int(time.time() * 1000),
        actor=Actor(client_address(scope).text, context.client, context.user, context.username, context.fhir_user),
        method=scope["method"],
        path=scope["path"].strip("/"),
        # The query of an authorization page may hold what only the two sides are to know.
        query=scope["query_string"].decode("latin-1") if event == "hospital" else "",
        status=400 if context.failed and status < 400 else status,
        patient=context.patient,
        entries=tuple(context.entries),
        event=event,
        reason=context.reason,
        details=tuple(context.details),
        patients=tuple(context.disclosure.patients),
        questions=tuple(context.disclosure.questions),
        request_id=chosen_id,
    )
