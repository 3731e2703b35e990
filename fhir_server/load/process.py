"""How a worker process behaves: it leaves Ctrl-C to its parent, ends with it, and never in the middle of something."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading

busy = threading.Lock()
"""Held while the process is at something that it should finish."""


def begin() -> None:
    """Prepare this process for work."""
    # Ctrl-C reaches the whole process group: the parent decides, so that a part is not broken off half way.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def freeze() -> None:
    """Leave what starting has made out of every later garbage collection."""
    # Millions of short-lived, acyclic dicts: the collector finds nothing and costs a tenth of the time.
    gc.freeze()
    gc.set_threshold(200_000, 50, 1000)


def _end_with_parent() -> None:
    # A parent that was killed cannot end its pool, and its workers would wait for parts for ever. What is under way is
    # finished: an open transaction would bar others from its resources until the database gives it up.
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        with busy:
            os._exit(1)
