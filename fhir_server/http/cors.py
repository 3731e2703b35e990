"""Cross-origin requests to the FHIR base: apps run in browsers on origins of their own.

Every origin may ask, since no cookie counts here: whoever asks needs a token. https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_EXPOSED = b"Content-Location, ETag, Last-Modified, Location, Retry-After, WWW-Authenticate"
_PREFLIGHT = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
    (
        b"access-control-allow-headers",
        b"Authorization, Content-Type, Accept, Prefer, If-Match, If-None-Match, If-None-Exist, If-Modified-Since, "
        b"X-Requested-With, Cache-Control, X-Security-Context",
    ),
    (b"access-control-max-age", b"600"),
    (b"content-length", b"0"),
]


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
            await send({"type": "http.response.start", "status": 204, "headers": _PREFLIGHT})
            await send({"type": "http.response.body", "body": b""})
            return

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                allowed = [(b"access-control-allow-origin", b"*"), (b"access-control-expose-headers", _EXPOSED)]
                message = {**message, "headers": [*message["headers"], *allowed]}
            await send(message)

        await self.app(scope, receive, marked)
