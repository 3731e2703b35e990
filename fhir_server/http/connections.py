"""What one connection may cost: time limits for request heads, bodies and slow readers, and how many there may be.

A connection that waits for a head, or for the rest of one, costs a file descriptor and nothing else holds it up; so it
is the first to go when there are too many. uvicorn itself limits none of this.
"""

from __future__ import annotations

import asyncio
import resource
import socket
from contextlib import suppress
from functools import cache
from typing import Any, ClassVar, NamedTuple, Protocol

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from fhir_server.settings import Settings

LARGEST_HEAD = 64 * 1024
"""Bytes of a request line with its headers."""
SLOWEST_BODY = 1024
"""Bytes a second that a body must bring, on average over each time limit."""
_SPARE_DESCRIPTORS = 200
"""For the database, files and listening sockets."""
_CLOSE_SECONDS = 5.0
_LEFT = 0.75
"""What is left of the unread answers, where they were too many: so that it is not looked at each time."""
_DEAD_MILLISECONDS = 60_000


class Limits(NamedTuple):
    """The limits of each connection of a worker; times in seconds."""

    head: float
    body: float
    write: float
    connections: int
    unread: int


@cache
def _limits() -> Limits:
    settings = Settings()
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    most = settings.max_connections
    if descriptors != resource.RLIM_INFINITY:
        most = max(1, min(most, descriptors - _SPARE_DESCRIPTORS))
    return Limits(settings.head_seconds, settings.body_seconds, settings.write_seconds, most, settings.max_unread_bytes)


def raise_descriptor_limit() -> None:
    """Let this process and its children open as many files as the system allows them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    if soft != resource.RLIM_INFINITY and soft < limit:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


class Reader(Protocol):
    """A connection whose client has an answer to read."""

    def unread(self) -> int:
        """Return the bytes that wait to be read."""

    def give_up(self) -> None:
        """Close the connection, and keep nothing for it."""


class UnreadAnswers:
    """The answers that clients do not read as fast as they are sent: of all connections together not many bytes.

    Each is within its own limits; but thousands that nobody reads would fill the memory before their time is over.
    """

    def __init__(self) -> None:
        self._sizes: dict[Reader, int] = {}
        """Bytes that were unread at the last look, those who have read nothing for longest first."""
        self._total = 0

    def add(self, reader: Reader, most: int) -> None:
        """Count a connection; past `most` bytes of all, those who have read nothing for longest give way."""
        self.remove(reader)
        self._note(reader, reader.unread())
        if self._total > most:
            self._look_anew()
            self._sizes[reader] = self._sizes.pop(reader)  # last: it has had no time to read
            while self._total > most * _LEFT and len(self._sizes) > 1:
                oldest = next(iter(self._sizes))
                self.remove(oldest)
                oldest.give_up()

    def remove(self, reader: Reader) -> None:
        """Count a connection no more."""
        self._total -= self._sizes.pop(reader, 0)

    def _note(self, reader: Reader, size: int) -> None:
        self._sizes[reader] = size
        self._total += size

    def _look_anew(self) -> None:
        """Take the sizes as they are now; who has read something comes behind who has not."""
        for reader, before in list(self._sizes.items()):
            if (now := reader.unread()) < before:
                self.remove(reader)
                self._note(reader, now)


class _Measured:
    """A transport that remembers how large the last piece was: whoever made it keeps it until it is sent."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.plain = transport
        self.piece = 0

    def write(self, data: bytes) -> None:
        """Send a piece."""
        self.piece = len(data)
        self.plain.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plain, name)


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 protocol with limits."""

    waiting: ClassVar[dict[BoundedProtocol, None]] = {}
    """The connections that no request is running on, the longest waiting first."""
    unread_answers: ClassVar[UnreadAnswers] = UnreadAnswers()

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._limits = _limits()
        self._head_bytes = 0
        self._body_bytes = 0
        self._in_head = self._body_open = self._upgraded = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_of = ""
        self._bytes_before = 0
        self._writing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection; where there are too many, the one that has waited longest gives way."""
        super().connection_made(transport)
        _notice_death(transport)
        self.transport = self._measured = _Measured(transport)  # type: ignore[assignment]
        self.waiting[self] = None
        self._watch("head")
        if len(self.connections) > self._limits.connections:
            oldest = next(iter(self.waiting))
            oldest._refuse("503 Service Unavailable", "There are too many connections.")

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self.waiting.pop(self, None)
        self._watch("")
        self._stop_writing_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what the client sent, and see what is still to come."""
        self._head_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing() or self._upgraded:
            return
        if self._body_open:
            self._watch("body")
        elif self._head_bytes > LARGEST_HEAD:
            self._refuse("431 Request Header Fields Too Large", f"A request head has at most {LARGEST_HEAD} bytes.")
        else:
            self._watch("head" if self._head_bytes or self._in_head else "")

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over: what a socket may take and send has limits of its own."""
        self._upgraded = True
        self.transport = self._measured.plain
        self.waiting.pop(self, None)
        self._watch("")
        self._stop_writing_timer()
        super().handle_websocket_upgrade()

    def on_message_begin(self) -> None:
        """Expect a head, of which the first bytes may have come with the request before."""
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Let the request begin."""
        self._in_head = False
        self._head_bytes, self._body_bytes, self._body_open = 0, 0, True
        self.waiting.pop(self, None)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Count what a body brings."""
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Wait for no more of this request."""
        self._body_open, self._head_bytes = False, 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self.waiting[self] = None
        super().on_response_complete()
        if self.transport.is_closing() or not self._is_free():
            self.waiting.pop(self, None)

    def pause_writing(self) -> None:
        """Give the client a time to read on."""
        super().pause_writing()
        self._stop_writing_timer()
        self._writing = self.loop.call_later(self._limits.write, self.transport.abort)
        self.unread_answers.add(self, self._limits.unread)

    def resume_writing(self) -> None:
        """Go on sending."""
        self._stop_writing_timer()
        super().resume_writing()

    def unread(self) -> int:
        """Return the bytes that are kept for the client: what is not sent, and the piece that it is of."""
        return max(self._measured.piece, self._measured.plain.get_write_buffer_size())

    def give_up(self) -> None:
        """Close the connection at once."""
        self.transport.abort()

    def _stop_writing_timer(self) -> None:
        self.unread_answers.remove(self)
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None

    def _is_free(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _watch(self, what: str) -> None:
        """Limit the time for a head or a body from its beginning on; neither where nothing is to come."""
        if what == self._timer_of:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_of = what
        if what:
            self._arm()

    def _arm(self) -> None:
        seconds = self._limits.head if self._timer_of == "head" else self._limits.body
        self._bytes_before = self._body_bytes
        self._timer = self.loop.call_later(seconds, self._late)

    def _late(self) -> None:
        if self._timer_of == "head":
            if self._is_free():
                self._refuse("408 Request Timeout", f"A request head is sent within {self._limits.head:g} s.")
            else:
                self._arm()  # the one before it is still being answered, so this one may not even have been read
        elif self.flow.read_paused or self._body_bytes - self._bytes_before >= SLOWEST_BODY * self._limits.body:
            self._arm()
        else:
            self._refuse("408 Request Timeout", f"A body brings at least {SLOWEST_BODY} bytes a second.")

    def _refuse(self, status: str, text: str) -> None:
        """Say why and close, unless an answer is on its way; then only close."""
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            retry = "retry-after: 5\r\n" if status.startswith("503") else ""
            head = f"HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {len(text)}\r\n"
            self.transport.write(f"{head}{retry}connection: close\r\n\r\n{text}".encode())
        self.waiting.pop(self, None)
        self.transport.close()
        self.loop.call_later(_CLOSE_SECONDS, self.transport.abort)  # a client that does not read keeps it open else


def _notice_death(transport: asyncio.Transport) -> None:
    """Let the system find out where the other side has vanished without a word."""
    connection = transport.get_extra_info("socket")
    if connection is None or connection.family not in (socket.AF_INET, socket.AF_INET6):
        return
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_USER_TIMEOUT", _DEAD_MILLISECONDS)):
            if hasattr(socket, option):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
