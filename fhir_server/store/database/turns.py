"""Turns: many share, or one has all to itself, in the order in which they came.

Transactions that were rolled back take their next turn alone: neither a conflict within the process nor the room that
others take in the database's cache can end them again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """A lock of one process with shared and exclusive holders; nobody overtakes."""

    def __init__(self) -> None:
        self._sharing = 0
        self._alone = False
        self._waiting: deque[tuple[bool, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def take(self, *, alone: bool) -> AsyncIterator[None]:
        """Hold a turn until the block ends, beside other sharing ones or alone."""
        await self._enter(alone)
        try:
            yield
        finally:
            self._leave(alone)

    async def _enter(self, alone: bool) -> None:
        if not self._waiting and self._is_free(alone):
            self._begin(alone)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = (alone, turn)
        self._waiting.append(waiting)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # the turn had come when the task was cancelled
                self._leave(alone)
            elif waiting in self._waiting:
                self._waiting.remove(waiting)
                self._admit()
            raise

    def _is_free(self, alone: bool) -> bool:
        return not self._alone and not (alone and self._sharing)

    def _begin(self, alone: bool) -> None:
        self._alone = alone
        self._sharing += not alone

    def _leave(self, alone: bool) -> None:
        if alone:
            self._alone = False
        else:
            self._sharing -= 1
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self._is_free(self._waiting[0][0]):
            alone, turn = self._waiting.popleft()
            if not turn.done():
                self._begin(alone)
                turn.set_result(None)
