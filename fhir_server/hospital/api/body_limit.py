"""A limit on what a request may send, before anything reads it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fhir_server.hospital.api.caller import language_of
from fhir_server.hospital.api.problem import Problem, answer

_SMALL = 1024 * 1024


class _TooLarge(Exception):
    """More has come than is allowed."""


class BodyLimit:
    """Answers 413 to a body beyond the limit: that of uploads for multipart bodies, a megabyte for others."""

    def __init__(self, app: ASGIApp, largest_upload: int) -> None:
        self.app = app
        self.largest_upload = largest_upload

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, counting what it sends."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        limit = self.largest_upload if headers.get(b"content-type", "").startswith("multipart/") else _SMALL
        if _stated_length(headers.get(b"content-length")) > limit:
            await _refuse(scope, receive, send)
            return
        counted = _Counted(receive, limit)
        try:
            await self.app(scope, counted.receive, counted.unless_too_large(send))
        except Exception:
            if not counted.too_large:
                raise
        if counted.too_large:
            await _refuse(scope, receive, send)


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    refusal = answer(Problem("too_large"), await language_of(Request(scope)))
    await refusal(scope, receive, send)


def _stated_length(length: str | None) -> int:
    # The first digits are enough to be beyond any limit.
    return int(length[:18]) if length and length.isascii() and length.isdigit() else 0


class _Counted:
    """A request whose body is counted as it comes.

    Who reads it may take the break for a body that is malformed, so an answer to what is too large is not let out.
    """

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._left = limit
        self.too_large = False

    async def receive(self) -> Message:
        """Return what comes next; raises _TooLarge beyond the limit."""
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            self.too_large = True
            raise _TooLarge
        return message

    def unless_too_large(self, send: Send) -> Send:
        """Return what sends an answer on, as long as the request is not too large."""

        async def sending(message: Message) -> None:
            if not self.too_large:
                await send(message)

        return sending
