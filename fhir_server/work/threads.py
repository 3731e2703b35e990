"""Work that would hold the event loop: done in a thread, or in slices between which others get their turn.

The interpreter runs one thread at a time, so a thread makes nothing faster; but it gives way every millisecond
(`share_evenly`), while the loop would wait for the end. Two requests work at once and no caller has more than one of
them, so that who sends many waits for oneself.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from typing import ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from fhir_server.errors import TooManyRequests
from fhir_server.work.budget import Budget, current

_P = ParamSpec("_P")
_T = TypeVar("_T")

SMALL = 16 * 1024
"""Bytes of JSON or XML that are dealt with in a millisecond or two, for which no thread is worth its switching."""

_AT_ONCE = 2
_SLICE = 0.003
_SWITCH = 0.001


def share_evenly() -> None:
    """Have threads give way to each other every millisecond, instead of every five."""
    sys.setswitchinterval(_SWITCH)


async def apart(work: Callable[_P, _T], *arguments: _P.args, **named: _P.kwargs) -> _T:
    """Do the work in a thread, its processor time counted against the request; raises what it raises.

    Raises TooManyRequests where the caller has too many waiting already.
    """
    loop = asyncio.get_running_loop()
    queue = _queues.get(loop)
    if queue is None:
        queue = _queues[loop] = _Queue(loop)
    return await queue.run(lambda: work(*arguments, **named))


async def sized(size: int, work: Callable[_P, _T], *arguments: _P.args, **named: _P.kwargs) -> _T:
    """Do work on `size` bytes of JSON or XML: at once where they are few, else apart."""
    if size <= SMALL:
        return work(*arguments, **named)
    return await apart(work, *arguments, **named)


async def breathe() -> None:
    """Let others in, where the request in progress has held the loop for longer than a slice."""
    budget = current()
    if budget is not None and time.perf_counter() - budget.resumed > _SLICE:
        await asyncio.sleep(0)
        budget.resumed = time.perf_counter()


class _Line:
    """What waits for one caller: turns in their order, and how many requests they belong to."""

    def __init__(self) -> None:
        self.turns: deque[asyncio.Future[None]] = deque()
        self.requests = 0


class _Queue:
    """Who works and who waits; each caller has one turn, then the next one has."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="work")
        self._working: set[str] = set()
        self._waiting: OrderedDict[str, _Line] = OrderedDict()

    async def run(self, work: Callable[[], _T]) -> _T:
        """Return the result of the work, which is done in the caller's turn."""
        budget = current()
        caller = "" if budget is None else budget.caller
        await self._turn(caller, budget)
        try:
            running = self._threads.submit(copy_context().run, _counted, budget, work)
        except BaseException:
            self._end(caller)
            raise
        # The turn ends with the thread's work, also when nobody waits for its result any more.
        running.add_done_callback(lambda _: self._later(caller))
        return await asyncio.wrap_future(running, loop=self._loop)

    async def _turn(self, caller: str, budget: Budget | None) -> None:
        if len(self._working) < _AT_ONCE and caller not in self._working:
            self._working.add(caller)
            return
        line = self._waiting.setdefault(caller, _Line())
        turn: asyncio.Future[None] = self._loop.create_future()
        with _waiting(line, budget):
            line.turns.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._end(caller)  # it was given just now
                raise

    def _later(self, caller: str) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._end, caller)

    def _end(self, caller: str) -> None:
        self._working.discard(caller)
        for name in list(self._waiting):
            if len(self._working) >= _AT_ONCE:
                return
            if name not in self._working:
                self._give(name)

    def _give(self, name: str) -> None:
        line = self._waiting.pop(name)
        while line.turns:
            turn = line.turns.popleft()
            if not turn.done():
                self._working.add(name)
                turn.set_result(None)
                break
        if line.turns:
            self._waiting[name] = line  # behind all others


@contextmanager
def _waiting(line: _Line, budget: Budget | None) -> Iterator[None]:
    """Count the request among those that wait, once; raises TooManyRequests where there are too many."""
    if budget is None:
        yield
        return
    if budget.waiting == 0:
        if line.requests >= budget.most_waiting:
            busy = TooManyRequests(
                f"{line.requests} requests of yours wait to be worked on, and no more may (max_waiting_requests)."
            )
            busy.headers["Retry-After"] = "1"
            raise busy
        line.requests += 1
    budget.waiting += 1
    try:
        yield
    finally:
        budget.waiting -= 1
        if budget.waiting == 0:
            line.requests -= 1


def _counted(budget: Budget | None, work: Callable[[], _T]) -> _T:
    if budget is None:
        return work()
    with budget.measured():
        return work()


_queues: WeakKeyDictionary[asyncio.AbstractEventLoop, _Queue] = WeakKeyDictionary()
