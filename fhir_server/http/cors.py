"""Cross-origin requests to the FHIR base: apps run in browsers on origins of their own.

Every origin may ask, since no cookie counts here: whoever asks needs a token. https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_EXPOSED = (
    b"Accept-Patch, Accept-Ranges, Content-Location, Content-Range, ETag, "
    b"Last-Modified, Location, Retry-After, WWW-Authenticate"
)
_PREFLIGHT = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
    (b"access-control-max-age", b"600"),
    (b"vary", b"Access-Control-Request-Headers"),
    (b"content-length", b"0"),
]
_ALLOWED = (
    b"Authorization, Content-Type, Accept, Prefer, If-Match, If-None-Match, If-None-Exist, If-Modified-Since, "
    b"X-Requested-With, Cache-Control, X-Security-Context"
)
_HEADER_NAMES = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+(?:[ \t]*,[ \t]*[A-Za-z0-9!#$%&'*+.^_`|~-]+)*")
_LONGEST_LIST = 2000


def _preflight(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the headers of a preflight's answer: the headers that the page asks for are the ones it may send."""
    asked = b", ".join(value for name, value in headers if name == b"access-control-request-headers")
    echoed = len(asked) <= _LONGEST_LIST and _HEADER_NAMES.fullmatch(asked.strip()) is not None
    return [*_PREFLIGHT, (b"access-control-allow-headers", asked.strip() if echoed else _ALLOWED)]


class Cors:
    """Answers preflights, and marks what the application answers to other origins."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        names = {name for name, _ in scope["headers"]} if scope["type"] == "http" else set()
        if b"origin" not in names:
            await self.app(scope, receive, send)
            return
        if scope["method"] == "OPTIONS" and b"access-control-request-method" in names:
            await send({"type": "http.response.start", "status": 204, "headers": _preflight(scope["headers"])})
            await send({"type": "http.response.body", "body": b""})
            return

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                allowed = [(b"access-control-allow-origin", b"*"), (b"access-control-expose-headers", _EXPOSED)]
                message = {**message, "headers": [*message["headers"], *allowed]}
            await send(message)

        await self.app(scope, receive, marked)
