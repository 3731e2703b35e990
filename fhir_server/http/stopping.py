"""Stopping: readiness says so first, then a drain time, then the port closes, and within half a minute all is over."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from types import FrameType

import structlog

ANSWERS_WITHIN = 10
"""Seconds that requests have for their answers after the port has closed."""
ENDS_WITHIN = 27.0
"""Seconds from the signal to the end of the process, whatever hangs."""
WORKER_ENDS_WITHIN = 22.0
"""The same for one of several workers, whose parent still has the database to end."""

log = structlog.get_logger(__name__)


class Stopping:
    """Whether the server was told to stop. Answers that never end by themselves end when it was."""

    def __init__(self, drain_seconds: float = 0) -> None:
        self.signalled = False
        self._drain_seconds = drain_seconds

    def listen(self, ends_within: float = ENDS_WITHIN) -> None:
        """Listen to the signals that the HTTP server listens to, and hand them on to it.

        SIGTERM reaches it after the drain time, so that a load balancer has seen that the server is not ready before
        the port closes; SIGINT, and a second signal, at once.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            before = signal.getsignal(number)
            owner = getattr(before, "__self__", None)
            if not callable(before) or not type(owner).__module__.startswith("uvicorn"):
                continue

            def handle(number: int, frame: FrameType | None, before: object = before) -> None:
                first, self.signalled = not self.signalled, True
                assert callable(before)
                if first:
                    end_within(ends_within)
                if first and number == signal.SIGTERM and self._drain_seconds:
                    loop.call_soon_threadsafe(loop.call_later, self._drain_seconds, before, number, None)
                else:
                    before(number, frame)

            signal.signal(number, handle)


def end_within(seconds: float) -> None:
    """End the process after that time, unless it has ended by itself."""

    def end() -> None:
        time.sleep(seconds)
        log.critical("stopping.forced", seconds=seconds)
        os._exit(1)

    threading.Thread(target=end, name="deadline", daemon=True).start()


def refuse_hangup() -> None:
    """Let SIGHUP, whose default is to end the process at once, change nothing."""
    signal.signal(signal.SIGHUP, lambda *_: log.warning("hangup.refused", reason="settings are read at the start only"))
