"""A reader of server-sent events that talks ASGI: the HTTP client of the tests waits for the end of an answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette

from fhir_server.r4 import values


@dataclass(slots=True)
class Event:
    """An event as an app's EventSource gives it."""

    name: str
    id: str
    data: Any


@dataclass(slots=True)
class EventStream:
    """A stream that is being read."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    last_id: str = ""
    _begun: asyncio.Event = field(default_factory=asyncio.Event)
    _closed: asyncio.Event = field(default_factory=asyncio.Event)
    _asked: bool = False
    _text: str = ""
    _arrived: asyncio.Queue[Event | None] = field(default_factory=asyncio.Queue)

    async def next(self, seconds: float = 10.0) -> Event | None:
        """Return the next event, or None where the stream has ended; fails where neither comes in time."""
        async with asyncio.timeout(seconds):
            return await self._arrived.get()

    async def quiet(self, seconds: float = 1.5) -> bool:
        """Return whether nothing comes for a while."""
        try:
            await self.next(seconds)
        except TimeoutError:
            return True
        return False

    async def receive(self) -> dict[str, Any]:
        """Give the request, and later say that the reader has gone."""
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._closed.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        """Take a part of the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            return
        self._text += message.get("body", b"").decode()
        while "\n\n" in self._text:
            block, _, self._text = self._text.partition("\n\n")
            self._take(block)
        self._begun.set()
        if not message.get("more_body"):
            self._arrived.put_nowait(None)

    def _take(self, block: str) -> None:
        fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
        self.last_id = fields.get("id", self.last_id)
        if "data" in fields:
            name = fields.get("event", "message")
            self._arrived.put_nowait(Event(name, self.last_id, values.decode(fields["data"].encode())))


@asynccontextmanager
async def stream(
    app: Starlette, path: str, token: str | None, *, last_id: str | None = None
) -> AsyncIterator[EventStream]:
    """Give the stream at the path, once it has begun."""
    form = {"authorization": f"Bearer {token}" if token else None, "last-event-id": last_id, "host": "server.test"}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in form.items() if value],
        "client": ("test", 1),
        "server": ("server.test", 80),
        "app": app,
    }
    reading = EventStream()
    task = asyncio.create_task(app(scope, reading.receive, reading.send))
    try:
        async with asyncio.timeout(20):
            await reading._begun.wait()
        yield reading
    finally:
        reading._closed.set()
        await asyncio.wait({task}, timeout=5)
        task.cancel()
