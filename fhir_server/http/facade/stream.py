"""Notifications as they come, as server-sent events. https://html.spec.whatwg.org/multipage/server-sent-events.html"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header
from starlette.requests import Request
from starlette.responses import StreamingResponse

from fhir_server.errors import FhirError, Unavailable
from fhir_server.http.facade.caller import Called, Caller
from fhir_server.http.facade.notifications import notification_answer
from fhir_server.http.facade.openapi import errors
from fhir_server.http.stopping import Stopping
from fhir_server.notifications.live import Listener, Live
from fhir_server.store.changes import Change, PositionLost

router = APIRouter(prefix="/notifications", tags=["notifications"])

STEP_SECONDS = 1.0
"""How often a quiet stream looks whether it must end."""
HEARTBEAT_SECONDS = 15.0
"""How often a quiet stream says that it is alive; proxies close what is silent for longer."""
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_EXAMPLE = 'id: 8265\nevent: notification\ndata: {"id": "…", "message": "…", "is_read": false}\n\n'

LastEventId = Annotated[str | None, Header(description="Where an earlier stream broke off: nothing is missed.")]


@router.get(
    "/stream",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"text/event-stream": {"example": _EXAMPLE}}},
        **errors("invalid_token", "forbidden", "unavailable"),
    },
)
async def stream_notifications(
    request: Request, caller: Called, last_event_id: LastEventId = None
) -> StreamingResponse:
    """Send the user's notifications as they come, until the access token ends.

    An event `notification` has the row as its data, and `update` one that has changed (it was read, say). `reset` says
    that some may have been missed, so the list is to be asked for again; `end` that the token is no longer valid.
    """
    caller.require("read", "Communication")
    patient_id = caller.patient_id
    live: Live = request.app.state.live
    await live.open()  # now, so that a failure has a status of its own

    async def events() -> AsyncIterator[str]:
        async with live.listening(patient_id) as listener:
            async for event in _Stream(request, caller, live, listener).events(last_event_id):
                yield event

    return StreamingResponse(events(), media_type="text/event-stream", headers=_HEADERS)


class _Stream:
    """One stream to one user."""

    def __init__(self, request: Request, caller: Caller, live: Live, listener: Listener) -> None:
        self._request = request
        self._caller = caller
        self._live = live
        self._listener = listener
        self._stopping: Stopping = request.app.state.stopping
        self._position = ""

    async def events(self, last_event_id: str | None) -> AsyncIterator[str]:
        """Tell what was missed, and then what comes."""
        yield f"retry: 2000\nid: {self._live.position}\n\n"
        if last_event_id:
            try:
                for change in await self._live.missed(self._caller.patient_id, last_event_id):
                    if event := await self._event(change):
                        yield event
            except PositionLost:
                yield "event: reset\ndata: {}\n\n"
        async for event in self._coming():
            yield event

    async def _coming(self) -> AsyncIterator[str]:
        said = time.monotonic()
        while not self._stopping.told:
            try:
                change = await self._listener.next(STEP_SECONDS)
            except Unavailable:
                return  # the app comes back, and resumes
            if not await self._is_welcome():
                yield "event: end\ndata: {}\n\n"
                return
            event = await self._event(change) if change else None
            if event is None and time.monotonic() - said > HEARTBEAT_SECONDS:
                event = f": alive\nid: {self._live.position}\n\n"
            if event is not None:
                said = time.monotonic()
                yield event

    async def _is_welcome(self) -> bool:
        try:
            await self._caller.server.authenticate(self._request.headers)
        except Unavailable:
            return True  # not known; the next look will tell
        except FhirError:
            return False
        return True

    async def _event(self, change: Change) -> str | None:
        """Return the event that a change is, or None where it has been told, or is not the user's to see."""
        if change.position <= self._position:
            return None
        self._position = change.position
        found = await self._caller.fhir.read("Communication", change.id)
        if found is None:
            return None
        answer = await notification_answer(self._caller, found)
        name = "notification" if change.version == 1 else "update"
        return f"id: {change.position}\nevent: {name}\ndata: {answer.model_dump_json()}\n\n"
