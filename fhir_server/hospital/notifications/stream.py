"""Notifications as they come, as server-sent events. https://html.spec.whatwg.org/multipage/server-sent-events.html"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, Header
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from fhir_server.errors import Unavailable
from fhir_server.hospital.api.caller import Called, Caller
from fhir_server.hospital.api.description.openapi import errors
from fhir_server.hospital.notifications.answers import notification_answer
from fhir_server.hospital.notifications.live import Listener, Live
from fhir_server.hospital.notifications.open_streams import OpenStream, OpenStreams
from fhir_server.http.streamed import StreamedResponse
from fhir_server.store.database.changes import Change, PositionLost

router = APIRouter(prefix="/notifications", tags=["notifications"])

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
        **errors("invalid_token", "forbidden", "too_many_streams", "unavailable"),
    },
)
async def stream_notifications(
    request: Request, caller: Called, last_event_id: LastEventId = None
) -> StreamingResponse:
    """Send the user's notifications as they come, until the access token ends.

    An event `notification` has the row as its data, and `update` one that has changed (it was read, say). `reset` says
    that some may have been missed, so the list is to be asked for again; `end` that the token is no longer valid.
    """
    patient_id = caller.patient_id
    streams: OpenStreams = request.app.state.streams
    live: Live = request.app.state.live
    user, secret = caller.token.user_id or patient_id, request.headers["authorization"].partition(" ")[2].strip()
    streams.require_room(user)
    await live.open()  # now, so that a failure has a status of its own
    opened = streams.open(user, secret, caller.token)

    async def events() -> AsyncGenerator[str, None]:
        try:
            async with live.listening(patient_id) as listener:
                opened.listener = listener
                async with aclosing(_Stream(caller, live, streams, opened, listener).events(last_event_id)) as messages:
                    async for event in messages:
                        yield event
        finally:
            streams.close_stream(opened)

    return _EventStream(events(), lambda: streams.close_stream(opened), opened.leave)


class _EventStream(StreamedResponse):
    """The answer, which gives its place among the streams back also where it was never begun."""

    def __init__(
        self, events: AsyncGenerator[str, None], give_back: Callable[[], None], on_disconnect: Callable[[], None]
    ) -> None:
        super().__init__(events, media_type="text/event-stream", headers=_HEADERS, on_disconnect=on_disconnect)
        self._give_back = give_back

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._give_back()


class _Stream:
    """One stream to one user."""

    def __init__(
        self, caller: Caller, live: Live, streams: OpenStreams, opened: OpenStream, listener: Listener
    ) -> None:
        self._caller = caller
        self._live = live
        self._streams = streams
        self._opened = opened
        self._listener = listener
        self._position = ""

    async def events(self, last_event_id: str | None) -> AsyncGenerator[str, None]:
        """Tell what was missed, and then what comes."""
        yield f"retry: 2000\nid: {self._live.position}\n\n"
        if last_event_id:
            try:
                for missed in await self._live.missed(self._caller.patient_id, last_event_id):
                    if event := await self._event(missed):
                        yield event
            except PositionLost:
                yield "event: reset\ndata: {}\n\n"
        while not self._opened.is_left:
            try:
                change = await self._listener.next(HEARTBEAT_SECONDS)
                event = await self._event(change) if change else f": alive\nid: {self._live.position}\n\n"
            except Unavailable:
                return  # the app comes back, and resumes
            if self._opened.is_over:
                yield "event: end\ndata: {}\n\n"
                return
            if event:
                yield event

    async def _event(self, change: Change) -> str | None:
        """Return the event that a change is, or None where it has been told, or is not the user's to see."""
        if change.position <= self._position:
            return None
        self._position = change.position
        if not await self._streams.may_tell(self._opened):
            return None
        communication = await self._caller.fhir.read("Communication", change.id)
        if communication is None:
            return None
        answer = await notification_answer(self._caller, communication)
        name = "notification" if change.version == 1 else "update"
        return f"id: {change.position}\nevent: {name}\ndata: {answer.model_dump_json()}\n\n"
