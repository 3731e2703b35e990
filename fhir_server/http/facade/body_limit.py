"""A limit on what a request may send, before anything reads it."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fhir_server.http.facade.problem import Problem, answer
from mappings.messages import choose_language

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
        refusal = answer(Problem("too_large"), choose_language(headers.get(b"accept-language")))
        if _said(headers.get(b"content-length")) > limit:
            await refusal(scope, receive, send)
            return
        try:
            await self.app(scope, _counting(receive, limit), send)
        except _TooLarge:
            await refusal(scope, receive, send)


def _said(length: str | None) -> int:
    return int(length) if length and length.isdigit() else 0


def _counting(receive: Receive, limit: int) -> Receive:
    received = 0

    async def counted() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise _TooLarge
        return message

    return counted
