"""A lean HTTP/1.1 client: kept connections, one request at a time on each, a few microseconds of Python a request."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from typing import NamedTuple, cast
from urllib.parse import urlsplit

import httptools

FHIR_JSON = "application/fhir+json"


class Reply(NamedTuple):
    """What the server answered."""

    status: int
    body: bytes


@dataclass(frozen=True)
class Target:
    """A base URL taken apart, and the headers that every request to it carries."""

    host: str
    port: int
    path: str
    tls: bool
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, url: str, headers: dict[str, str] | None = None) -> Target:
        """Return the target that a URL names."""
        parts = urlsplit(url)
        tls = parts.scheme == "https"
        port = parts.port or (443 if tls else 80)
        return cls(parts.hostname or "127.0.0.1", port, parts.path.rstrip("/"), tls, tuple((headers or {}).items()))

    def request(self, method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
        """Return the bytes of a request; a keyword such as If_None_Exist becomes the header If-None-Exist."""
        given = {"Host": f"{self.host}:{self.port}", "Accept": FHIR_JSON, **dict(self.headers)}
        if body or method in ("POST", "PUT", "PATCH"):
            given |= {"Content-Type": FHIR_JSON, "Content-Length": str(len(body))}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        separator = "/" if path and not path.startswith("?") else ""
        return f"{method} {self.path}{separator}{path} HTTP/1.1\r\n{lines}\r\n".encode() + body


@dataclass
class Connection(asyncio.Protocol):
    """One connection; `send` gives the reply to a request within `patience` seconds."""

    target: Target
    patience: float = 60
    _transport: asyncio.Transport | None = None
    _waiter: asyncio.Future[Reply] | None = None
    _body: list[bytes] = field(default_factory=list)

    async def send(self, request: bytes) -> Reply:
        """Return the reply to a request; raises ConnectionError when the server hangs up, TimeoutError without one."""
        if self._transport is None or self._transport.is_closing():
            await self._connect()
        assert self._transport is not None
        self._waiter = asyncio.get_running_loop().create_future()
        timer = asyncio.get_running_loop().call_later(self.patience, self._expire)
        self._transport.write(request)
        try:
            return await self._waiter
        finally:
            timer.cancel()

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    async def _connect(self) -> None:
        context = ssl.create_default_context() if self.target.tls else None
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self, self.target.host, self.target.port, ssl=context)

    def _expire(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(TimeoutError(f"No answer within {self.patience:.0f} seconds."))
        self.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # Not checked: uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._parser = httptools.HttpResponseParser(self)

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the request that waits."""
        self._transport = None
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(ConnectionError("The server closed the connection."))

    def on_message_begin(self) -> None:
        """Forget the reply before."""
        self._body = []

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Hand the reply over, unless it was an interim one."""
        status = self._parser.get_status_code()
        if status >= 200 and self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(Reply(status, b"".join(self._body)))
