"""A bell within a process: events were stored, so whoever delivers need not wait for the next look."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

_listening: set[asyncio.Event] = set()


def ring() -> None:
    """Wake all who listen in this process."""
    for event in _listening:
        event.set()


@contextmanager
def listening() -> Iterator[asyncio.Event]:
    """Give an event that is set by each ring meanwhile."""
    event = asyncio.Event()
    _listening.add(event)
    try:
        yield event
    finally:
        _listening.discard(event)


async def rung(event: asyncio.Event, seconds: float) -> None:
    """Return when the bell has rung, or after some seconds."""
    waiting = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({waiting}, timeout=seconds)
    finally:
        waiting.cancel()
    event.clear()
