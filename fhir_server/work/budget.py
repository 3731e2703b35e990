"""The budget of one request: CPU seconds and steps of work, counted wherever callers decide how much there is to do.

Code that loops over what a caller sent calls `spend`; it needs no budget at hand, since the request's own is found by
a context variable, which threads and tasks inherit. Work without a request (jobs, commands) has no budget.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import coroutine
from typing import Any, ClassVar, TypeVar, cast

from fhir_server.errors import FhirError

LOOK_EVERY = 500
"""Steps between two looks at the clock."""

_T = TypeVar("_T")
_thread = threading.local()


class OutOfBudget(FhirError):
    """The request asks for more work than one request may cause; the text names the limit."""

    status, code = 422, "too-costly"


class Budget:
    """What a request may still cost; `caller` names who is to wait when there is too much to do at once.

    `database_seconds` is what each search may take in the database, None for any time; `setting` is the one that the
    seconds come from.
    """

    __slots__ = (
        "_look_at",
        "_seconds",
        "_steps",
        "_used",
        "caller",
        "database_seconds",
        "most_waiting",
        "resumed",
        "setting",
        "waiting",
    )

    UNITS_A_SECOND: ClassVar[int] = 2_000_000
    """Steps that a second is taken to have: the limit that holds where no clock is looked at."""

    def __init__(
        self,
        seconds: float,
        *,
        caller: str = "",
        most_waiting: int = 256,
        database_seconds: float | None = None,
        setting: str = "max_request_seconds",
    ) -> None:
        self.caller = caller
        self.setting = setting
        self.database_seconds = database_seconds
        self.most_waiting = most_waiting
        self.resumed = time.perf_counter()
        self.waiting = 0
        self._seconds = seconds
        self._used = 0.0
        self._steps: float = seconds * self.UNITS_A_SECOND
        self._look_at = self._steps - LOOK_EVERY

    def extend(self, seconds: float) -> None:
        """Allow more: a bundle has a share for each of its entries."""
        self._seconds += seconds
        steps = seconds * self.UNITS_A_SECOND
        self._steps += steps
        self._look_at += steps

    def spend(self, steps: int) -> None:
        """Count steps of work, each about a microsecond; raise OutOfBudget where it was too much."""
        self._steps -= steps
        if self._steps < self._look_at:
            self._look_at = self._steps - LOOK_EVERY
            self._look()

    def _look(self) -> None:
        if self._steps < 0 or self._used + _busy() > self._seconds:
            raise OutOfBudget(
                f"The request needs more work than the {self._seconds:g} seconds of processor time that it may take "
                f"({self.setting})."
            )

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Count the processor time of what this thread does within."""
        _thread.since = time.thread_time()
        try:
            yield
        finally:
            self._used += _busy()
            _thread.since = None


@coroutine
def counted(work: Coroutine[Any, Any, _T], budget: Budget) -> Generator[Any, Any, _T]:
    """Await the work, with the processor time of each of its steps on the event loop counted.

    What it awaits costs nothing here; of the tasks that it starts, those of `together` are followed.
    """
    answer: Any = None
    failure: BaseException | None = None
    while True:
        budget.resumed = time.perf_counter()
        try:
            with budget.measured():
                awaited = work.send(answer) if failure is None else work.throw(failure)
        except StopIteration as end:
            return cast(_T, end.value)
        answer, failure = None, None
        try:
            answer = yield awaited
        except GeneratorExit:
            work.close()
            raise
        except BaseException as error:  # a cancellation, among others, which is the work's to see
            failure = error


async def together(*works: Coroutine[Any, Any, _T]) -> list[_T]:
    """Await several works at once, as tasks whose processor time is the request's in progress."""
    budget = current()
    if budget is None:
        return await asyncio.gather(*works)
    return await asyncio.gather(*(_counted_task(each, budget) for each in works))


async def _counted_task(work: Coroutine[Any, Any, _T], budget: Budget) -> _T:
    return await counted(work, budget)


def _busy() -> float:
    """Return the seconds that this thread has worked on what is being measured."""
    since: float | None = getattr(_thread, "since", None)
    return 0.0 if since is None else time.thread_time() - since


_current: ContextVar[Budget | None] = ContextVar("budget", default=None)


def current() -> Budget | None:
    """Return the budget of the request in progress; None where there is none."""
    return _current.get()


@contextmanager
def working(budget: Budget) -> Iterator[None]:
    """Make the budget that of what is done within, and of all tasks and threads that this starts."""
    token = _current.set(budget)
    try:
        yield
    finally:
        _current.reset(token)


def spend(steps: int = 1) -> None:
    """Count steps of work against the request in progress; raises OutOfBudget."""
    budget = _current.get()
    if budget is not None:
        budget.spend(steps)
