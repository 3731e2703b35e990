"""HEAD where GET is, and every method of a path in Allow. https://www.rfc-editor.org/rfc/rfc9110#section-9.3.2"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")


def allowed(routes: Iterable[BaseRoute], scope: Scope) -> list[str]:
    """Return the methods that the path of a request takes, whichever routes they are spread over."""
    all_routes = list(routes)
    taken = {name for name in _METHODS if any(_matches(route, scope, name) for route in all_routes)}
    return sorted(taken | {"HEAD"} if "GET" in taken else taken)


def _matches(route: BaseRoute, scope: Scope, method: str) -> bool:
    return route.matches({**scope, "method": method})[0] is Match.FULL


class HeadAsGet:
    """Answers HEAD as GET would be answered, without the body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Carry out a request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        begun, is_received = asyncio.Event(), False

        async def receive_once() -> Message:
            nonlocal is_received
            if not is_received:
                is_received = True
                return await receive()
            await begun.wait()  # a stream that never ends is over with its headers
            return {"type": "http.disconnect"}

        async def send_head(message: Message) -> None:
            if begun.is_set():
                return
            await send(message)
            if message["type"] == "http.response.start":
                begun.set()
                await send({"type": "http.response.body", "body": b""})

        await self._app({**scope, "method": "GET"}, receive_once, send_head)
