"""Learning that the server is told to stop: answers that never end by themselves must, or they would hold it up."""

from __future__ import annotations

import signal
import threading
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopping:
    """Whether the server was told to stop."""

    def __init__(self) -> None:
        self.told = False

    def listen(self) -> None:
        """Listen to the signals that the HTTP server listens to, and leave them to it as well."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _SIGNALS:
            before = signal.getsignal(number)
            owner = getattr(before, "__self__", None)
            if not callable(before) or not type(owner).__module__.startswith("uvicorn"):
                continue

            def told(number: int, frame: FrameType | None, before: object = before) -> None:
                self.told = True
                assert callable(before)
                before(number, frame)

            signal.signal(number, told)
