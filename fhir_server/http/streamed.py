"""Answers that are sent piece by piece, without ever cancelling what makes the pieces."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send


class StreamedResponse(StreamingResponse):
    """A streaming response whose generator is closed between two pieces when the client has gone.

    Starlette's own cancels it wherever it is, again and again. In the middle of a database call that costs the driver's
    connection pool its lock: on Python 3.11 a waiter that is cancelled twice does not get it back, and the worker has
    no database any more. `on_disconnect` is called when the client has gone, to wake a generator that waits.
    """

    def __init__(
        self,
        content: AsyncIterator[str] | AsyncIterator[bytes],
        *,
        media_type: str,
        headers: Mapping[str, str] | None = None,
        on_disconnect: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(content, headers=headers, media_type=media_type)
        self._pieces = content
        self._on_disconnect = on_disconnect
        self._disconnected = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer."""
        watching = asyncio.create_task(self._watch(receive))
        try:
            await self._send(send)
        finally:
            watching.cancel()
            if isinstance(self._pieces, AsyncGenerator):
                await self._pieces.aclose()

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for piece in self._pieces:
            if self._disconnected:
                return
            body = piece.encode(self.charset) if isinstance(piece, str) else piece
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._disconnected = True
        if self._on_disconnect is not None:
            self._on_disconnect()
