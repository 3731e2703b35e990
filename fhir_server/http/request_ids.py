"""Every request has an id: the caller's X-Request-Id where it is sane, else one made here; the answer repeats it.

The OperationOutcome or the problem of an answer names the one that the caller chose. Each log line of the request
names it, and the AuditEvent: an id made here is the AuditEvent's own id, one that the caller chose an entity of it, as
IHE's Basic Audit Log Patterns have it.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fhir_server.engine.versions import new_id
from fhir_server.work.request_id import RequestId, current, is_sane

HEADER = "X-Request-Id"
_HEADER = b"x-request-id"


class RequestIds:
    """Gives each request its id, and each answer the header."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _id_of(scope)
        line = (_HEADER, request_id.text.encode())

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), line]
            await send(message)

        token = current.set(request_id)
        try:
            await self.app(scope, receive, marked)
        finally:
            current.reset(token)


def _id_of(scope: Scope) -> RequestId:
    ids = {value for name, value in scope["headers"] if name == _HEADER}
    if len(ids) == 1:
        text = ids.pop().decode("latin-1")
        if is_sane(text):
            return RequestId(text, chosen=True)
    return RequestId(new_id())
