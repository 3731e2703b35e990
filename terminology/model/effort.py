"""Work that depends on what a caller sent, counted where it is done: whoever runs an operation may end it.

The loops over codes, filters and parts of resources lie below protocols (`content.provider`) that know nothing of a
request, so what is told of each step is found by a context variable; without one nothing is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Spend = Callable[[int], None]

_spend: ContextVar[Spend | None] = ContextVar("terminology_effort", default=None)


@contextmanager
def counting(spend: Spend) -> Iterator[None]:
    """Tell `spend` of each step that is done within, a step being a look at one code; it may raise to end the work."""
    token = _spend.set(spend)
    try:
        yield
    finally:
        _spend.reset(token)


def effort(steps: int = 1) -> None:
    """Count steps."""
    spend = _spend.get()
    if spend is not None and steps:
        spend(steps)
