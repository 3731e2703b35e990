"""Cross-origin requests: apps run in browsers on origins of their own. https://fetch.spec.whatwg.org/#http-cors-protocol

One rule for FHIR, the hospital's endpoints and those of the authorization server: the setting `cors_origins` says whose
pages may ask. Credentials never count: whoever asks needs a token, and a browser's cookies open nothing but the pages
of sign-in and consent, which are for people and left out here.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from fhir_server.settings import Settings

_EXPOSED = (
    "Accept-Patch", "Accept-Ranges", "Content-Disposition", "Content-Location", "Content-Range", "ETag",
    "Idempotency-Replayed", "Last-Modified", "Location", "Retry-After", "WWW-Authenticate", "Warning",
    "X-Request-Id",
)  # fmt: skip
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_ALLOWED = (
    "Authorization, Content-Type, Accept, Accept-Language, Prefer, If-Match, If-None-Match, If-None-Exist, "
    "If-Modified-Since, If-Range, Range, Idempotency-Key, X-Requested-With, Cache-Control, "
    "X-Request-Id, X-Security-Context"
)
"""Told where a page does not say which headers it will send; where it does, these are the ones."""

_HEADER_NAMES = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+(?:[ \t]*,[ \t]*[A-Za-z0-9!#$%&'*+.^_`|~-]+)*")
_LONGEST_LIST = 2000
_KEPT_SECONDS = 600


class Cors:
    """Answers preflights, and marks what the application answers to the origins that may ask; not at `pages`."""

    def __init__(self, app: ASGIApp, settings: Settings, pages: Collection[str] = ()) -> None:
        self.app = app
        self._pages = frozenset(pages)
        self._any = settings.allowed_origins == ("*",)
        self._shared = _Shared(
            app,
            allow_origins=settings.allowed_origins,
            allow_methods=_METHODS,
            allow_headers=("*",),
            expose_headers=_EXPOSED,
            max_age=_KEPT_SECONDS,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"] in self._pages or (self._any and not _is_from_a_page(scope)):
            await self.app(scope, receive, send)
        else:
            await self._shared(scope, receive, send)


def _is_from_a_page(scope: Scope) -> bool:
    return any(name == b"origin" for name, _ in scope["headers"])


class _Shared(CORSMiddleware):
    """Starlette's middleware, which would repeat anything at all as the list of allowed headers."""

    def preflight_response(self, request_headers: Headers) -> Response:
        response = super().preflight_response(request_headers)
        requested = ", ".join(request_headers.getlist("access-control-request-headers")).strip()
        echoed = len(requested) <= _LONGEST_LIST and _HEADER_NAMES.fullmatch(requested)
        response.headers["Access-Control-Allow-Headers"] = requested if echoed else _ALLOWED
        return response
