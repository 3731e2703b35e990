"""Large requests take turns: so many bytes are worked on at once, and so many wait in memory; the rest waits unread.

A large bundle costs the worker some fifteen times its bytes while it is parsed, checked and indexed, and its database
room until it is committed, so a crowd of them gets more done one after another than all at once. Callers have their
turns one after another, each for the first that it sent, so that one with a hundred requests keeps another waiting for
one of them; so it is with the memory for what waits. What is larger than all workers of a host take at once is worked
on in one of them at a time (`host_lock`). Who waits is not served once the client has hung up, and is told
to come back when the time is up.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Self

from starlette.types import Message, Receive

from fhir_server.engine.context import Request
from fhir_server.errors import BadRequest, Unavailable
from fhir_server.http.host_lock import HostLock
from fhir_server.settings import Settings
from fhir_server.work.budget import current

SMALL = 64 * 1024
"""Bytes of a body that waits for nobody."""
COMPRESSION = 10
"""How many times larger JSON is than what it is sent as, where its Content-Encoding says so."""
_LEAST = 128 * 1024
"""What each large request counts for at least, so that not too many work at once."""
_BUSY = "The server is busy with large requests; this one did not get its turn within {:.0f} seconds. Try again."


_LOOK_AGAIN = 0.05
"""Seconds until the lock of the host is tried again."""
_MANY_ROWS = 200
"""Rows of a page that waits for nobody."""
_ROW = 1024


class Overloaded(Unavailable):
    """Others took all the time that a request was willing to wait."""

    retry_after = 30


class _Waiting:
    """A request of a caller that waits for its turn; `size` is what it will occupy."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.caller = _caller()
        self.turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Admission:
    """Turns by bytes: `at_once` are worked on at a time, and `in_memory` are received ahead.

    One request alone may have more than either. `patience` is the seconds that one waits at most; `host` is what the
    largest requests share with other workers.
    """

    def __init__(self, at_once: int, in_memory: int, patience: float, host: HostLock | None = None) -> None:
        self._host = host
        self._looks_again = False
        self._at_once = at_once
        self._in_memory = in_memory
        self._patience = patience
        self._working = 0
        self._queue: OrderedDict[str, deque[_Waiting]] = OrderedDict()
        """What waits for each caller, the one whose turn is next first."""
        self._arriving: dict[Body, int] = {}
        self._complete: Counter[str] = Counter()
        """Bytes of bodies that are complete, of each caller."""
        self._stalled: list[asyncio.Future[None]] = []

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the turns of a worker with these settings: its share, as all workers have one database and machine."""
        at_once, waiting = (
            max(1, most // settings.workers) for most in (settings.large_bytes_at_once, settings.large_bytes_waiting)
        )
        lock = HostLock(settings.data_dir / "large_request.lock", settings.large_bytes_at_once + 1)
        return cls(at_once, waiting, settings.max_wait_seconds, lock if settings.workers > 1 else None)

    @classmethod
    def of_answers(cls, settings: Settings) -> Self:
        """Return the turns of a worker's large answers, which are told apart by the rows that they may have."""
        return cls(max(1, settings.large_rows_at_once * _ROW // settings.workers), 1, settings.max_wait_seconds)

    def body(self, receive: Receive) -> Body:
        """Return the body of a request, which is received as memory allows, and counted until its block ends."""
        return Body(self, receive)

    # --- Working ---------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def turn(self, size: int, receive: Receive) -> AsyncIterator[None]:
        """Hold the turn of a request with so many bytes until the block ends.

        `receive` is what tells that the client has hung up. Raises Overloaded, or BadRequest where it has.
        """
        if size <= SMALL:
            yield
            return
        waiting = _Waiting(max(size, _LEAST))
        self._queue.setdefault(waiting.caller, deque()).append(waiting)
        try:
            self._admit()
            if not waiting.turn.done():
                await self._wait(waiting.turn, receive)
            yield
        finally:
            self._end(waiting)

    def _end(self, waiting: _Waiting) -> None:
        if waiting.turn.done():
            self._working -= waiting.size
        else:
            self._leave(waiting)
        if self._host is not None:
            self._host.release(waiting)
        self._admit()

    async def _wait(self, turn: asyncio.Future[None], receive: Receive) -> None:
        hung_up = asyncio.ensure_future(_hung_up(receive))
        try:
            await asyncio.wait({turn, hung_up}, timeout=self._patience, return_when=asyncio.FIRST_COMPLETED)
        finally:
            hung_up.cancel()
            with suppress(asyncio.CancelledError):
                await hung_up
        if turn.done():
            return
        if not hung_up.cancelled():
            raise BadRequest("The connection was closed before the request had its turn.")
        raise Overloaded(_BUSY.format(self._patience))

    def _admit(self) -> None:
        while (waiting := self._next()) is not None:
            if self._working and self._working + waiting.size > self._at_once:
                return
            self._leave(waiting)
            if waiting.caller in self._queue:
                self._queue.move_to_end(waiting.caller)
            self._working += waiting.size
            waiting.turn.set_result(None)

    def _next(self) -> _Waiting | None:
        """Return whose turn is next; those that the host's lock keeps waiting are passed over and tried again soon."""
        for line in self._queue.values():
            if self._host is None or self._host.try_acquire(line[0], line[0].size):
                return line[0]
            if not self._looks_again:
                self._looks_again = True
                asyncio.get_running_loop().call_later(_LOOK_AGAIN, self._look_again)
        return None

    def _look_again(self) -> None:
        self._looks_again = False
        self._admit()

    def _leave(self, waiting: _Waiting) -> None:
        line = self._queue[waiting.caller]
        line.remove(waiting)
        if not line:
            del self._queue[waiting.caller]

    # --- Receiving -------------------------------------------------------------------------------------------------

    async def arrive(self, body: Body, size: int) -> None:
        """Count what a body that is not complete has in memory; waits until there is memory for more of it."""
        self._arriving[body] = size
        deadline = asyncio.get_running_loop().time() + self._patience
        while not self._may_grow(body):
            stalled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._stalled.append(stalled)
            try:
                async with asyncio.timeout_at(deadline):
                    await stalled
            except TimeoutError as error:
                raise Overloaded(_BUSY.format(self._patience)) from error

    def _may_grow(self, body: Body) -> bool:
        held = Counter(self._complete)
        for other, size in self._arriving.items():
            held[other.caller] += size
        if held.total() < self._in_memory and held[body.caller] < self._in_memory / len(held):
            return True
        # Those that are complete will go; were there none, all would wait for each other.
        return not self._complete and next(iter(self._arriving)) is body

    def completed(self, body: Body) -> int:
        """Count the body among those that wait for their turn; returns how much of it is counted."""
        size = self._arriving.pop(body, 0)
        if size:
            self._complete[body.caller] += size
        return size

    def released(self, body: Body, size: int) -> None:
        """Count the body no longer, of which so much was counted as complete."""
        self._complete[body.caller] -= size
        if not self._complete[body.caller]:
            del self._complete[body.caller]
        if size or self._arriving.pop(body, None) is not None:
            stalled, self._stalled = self._stalled, []
            for each in stalled:
                if not each.done():
                    each.set_result(None)


class Body:
    """The body of one request, received with regard to what others have in memory."""

    def __init__(self, admission: Admission, receive: Receive) -> None:
        self._admission = admission
        self._receive = receive
        self.caller = _caller()
        self._size = 0
        self._counted = 0

    async def receive(self) -> Message:
        """Return the next message of the request, when there is memory for it."""
        if self._size > SMALL:
            await self._admission.arrive(self, self._size)
        message = await self._receive()
        self._size += len(message.get("body", b""))
        if not message.get("more_body", False):
            self._counted = self._admission.completed(self)
        return message

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._admission.released(self, self._counted)
        self._counted = 0


def rows_weight(request: Request, settings: Settings) -> int:
    """Return what the answer to a request counts for: nothing, unless it may have many rows."""
    if request.path or not isinstance(request.resource, dict):
        rows = _rows(request.path, [value for name, value in request.query if name == "_count"], settings)
    else:
        rows = sum(_rows(*get, settings) for get in _gets(request.resource))
    return rows * _ROW if rows > _MANY_ROWS else 0


def _rows(path: str, counts: list[str], settings: Settings) -> int:
    """Return how many rows the answer to one GET may have."""
    numbers = [int(value[:9]) for value in counts if value.isdecimal()]
    if path.endswith("$everything"):
        return min([settings.max_everything, *numbers])
    if "/" in path and "_history" not in path and not path.endswith("_search"):
        return 1
    return min(numbers[-1] if numbers else settings.default_page_size, settings.max_page_size)


def _gets(bundle: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Yield the path, and what is given as _count, of each GET in a batch or transaction, which may be malformed."""
    entries = bundle.get("entry")
    for entry in entries if isinstance(entries, list) else ():
        request = entry.get("request") if isinstance(entry, dict) else None
        url = request.get("url") if isinstance(request, dict) and request.get("method") == "GET" else None
        if isinstance(url, str):
            path, _, query = url.partition("?")
            yield path, [part[7:] for part in query.split("&") if part.startswith("_count=")]


def _caller() -> str:
    """Return who sent the request in progress."""
    budget = current()
    return "" if budget is None else budget.caller


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
