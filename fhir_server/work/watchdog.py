"""Notices when the event loop is held: everybody else waits meanwhile, and no request would tell of it.

A thread expects a sign of life of the loop. Where none comes for too long it logs what the loop's thread is doing, by
places in the code alone, since values may be somebody's data, and afterwards for how long.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import structlog

_LOOKS = 4
"""How often the loop is looked at within the time that it may be held."""
_MOST_PLACES = 6
_ROOT = Path(__file__).parents[1]

log = structlog.get_logger(__name__)


@contextmanager
def watched(seconds: float) -> Iterator[None]:
    """Watch the running loop meanwhile: it should not be held for longer; 0 watches nothing."""
    if not seconds:
        yield
        return
    watchdog = _Watchdog(asyncio.get_running_loop(), seconds)
    watchdog.start()
    try:
        yield
    finally:
        watchdog.stop()


class _Watchdog:
    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self._loop = loop
        self._seconds = seconds
        self._seen = time.monotonic()
        self._watched_thread = threading.get_ident()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="loop watchdog", daemon=True)
        self._next: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._tell()
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        if self._next is not None:
            self._next.cancel()

    def _tell(self) -> None:
        """Give the sign of life; on the loop."""
        self._seen = time.monotonic()
        self._next = self._loop.call_later(self._seconds / _LOOKS, self._tell)

    def _watch(self) -> None:
        held_since: float | None = None
        while not self._over.wait(self._seconds / _LOOKS):
            seen = self._seen
            if held_since is not None and seen != held_since:
                log.warning("loop.free", seconds=round(seen - held_since, 3))
                held_since = None
            if held_since is None and time.monotonic() - seen > self._seconds:
                held_since = seen
                log.warning("loop.held", at=_places(sys._current_frames().get(self._watched_thread)))


def _places(frame: FrameType | None) -> list[str]:
    """Return where in this project's code a thread is, innermost first."""
    places: list[str] = []
    while frame is not None and len(places) < _MOST_PLACES:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(_ROOT):
            places.append(f"{path.relative_to(_ROOT)}:{frame.f_lineno} {frame.f_code.co_name}")
        frame = frame.f_back
    return places
