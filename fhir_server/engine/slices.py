"""Long work in slices, between which the event loop serves others."""

from __future__ import annotations

import asyncio
import time

SLICE_SECONDS = 0.004


class Slices:
    """The slices of one piece of work, from now on."""

    def __init__(self) -> None:
        self._begun = time.perf_counter()

    async def breathe(self) -> None:
        """Let others in, where the slice has lasted long enough."""
        if time.perf_counter() - self._begun > SLICE_SECONDS:
            await asyncio.sleep(0)
            self._begun = time.perf_counter()
