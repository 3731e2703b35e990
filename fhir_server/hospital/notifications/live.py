"""New Communications to a patient as they are stored, by whichever worker, for those who listen on this one.

One change stream serves all listeners of a worker, and is open only while there are any.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress

import structlog

from fhir_server.engine.context import Services
from fhir_server.errors import FhirError, Unavailable
from fhir_server.hospital.api.references import decoded
from fhir_server.store.database.changes import Change, PositionLost, follow
from fhir_server.work.ending import end
from mappings.notifications import notifications

TYPES = ("Communication",)
MOST_WAITING = 500
"""Notifications that a listener may leave unread before it is cut off; it can resume where it was."""
LINGER_SECONDS = 10.0
"""How long to follow when nobody listens: an app that was cut off is soon back."""
_POSITION = re.compile(r"[0-9A-F]{20,2000}")

log = structlog.get_logger(__name__)


class Listener:
    """One who listens: what arrives."""

    def __init__(self) -> None:
        self._arrived: deque[Change] = deque()
        self._woken = asyncio.Event()
        self._cut_off = False

    def give(self, change: Change) -> None:
        """Let a change arrive."""
        if len(self._arrived) >= MOST_WAITING:
            self._cut_off = True
        else:
            self._arrived.append(change)
        self._woken.set()

    def cut_off(self) -> None:
        """Let nothing more arrive."""
        self._cut_off = True
        self._woken.set()

    def wake(self) -> None:
        """Let who waits for the next change wait no longer."""
        self._woken.set()

    async def next(self, seconds: float) -> Change | None:
        """Return what arrives within the time or until it is woken, if anything; raises Unavailable after a cut."""
        if not self._arrived:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._woken.wait()
        self._woken.clear()
        if self._arrived:
            return self._arrived.popleft()
        if self._cut_off:
            raise Unavailable("The stream has ended; resume it.")
        return None


class Live:
    """The listeners of one worker."""

    def __init__(self, services: Services, base_url: str) -> None:
        self._services = services
        self._base_url = base_url
        self._listeners: dict[str, set[Listener]] = defaultdict(set)
        self._task: asyncio.Task[None] | None = None
        self._opened: asyncio.Future[None] | None = None
        self.position = ""
        """How far the worker has come; a listener may resume there."""

    async def open(self) -> None:
        """Begin to follow, unless that has begun; raises Unavailable."""
        if self._task is None or self._task.done():
            self._opened = asyncio.get_running_loop().create_future()
            self._task = asyncio.create_task(self._run(self._opened))
        assert self._opened is not None
        await asyncio.shield(self._opened)

    @asynccontextmanager
    async def listening(self, patient_id: str) -> AsyncIterator[Listener]:
        """Give a listener at which arrives what is stored for the patient from now on."""
        listener = Listener()
        self._listeners[patient_id].add(listener)
        try:
            await self.open()
            yield listener
        finally:
            self._listeners[patient_id].discard(listener)
            if not self._listeners[patient_id]:
                del self._listeners[patient_id]

    async def missed(self, patient_id: str, position: str) -> list[Change]:
        """Return what was stored for the patient between a position and where the worker is; raises PositionLost."""
        if not _POSITION.fullmatch(position):
            raise PositionLost
        missed_changes: list[Change] = []
        until = self.position
        async with aclosing(follow(self._services.database, TYPES, position, milliseconds=20)) as changes:
            async for change, reached in changes:
                if change is not None and await self._recipient(change) == patient_id:
                    missed_changes.append(change)
                # Positions are texts that sort as the times they stand for.
                if reached >= until:
                    break
        return missed_changes

    async def close(self) -> None:
        """Stop following; listeners are cut off."""
        while (task := self._task) is not None and not task.done():  # who came meanwhile has opened another
            await end(task)

    async def _run(self, opened: asyncio.Future[None]) -> None:
        try:
            await self._follow(opened)
        except (FhirError, PositionLost) as error:
            log.warning("live.ended", kind=type(error).__name__)
        finally:
            if self._task is asyncio.current_task():
                self._end(opened)

    def _end(self, opened: asyncio.Future[None]) -> None:
        self._task = None
        if not opened.done():
            opened.set_exception(Unavailable("The database cannot be reached now; try again."))
        for listener in [one for several in self._listeners.values() for one in several]:
            listener.cut_off()

    async def _follow(self, opened: asyncio.Future[None]) -> None:
        asked_at = time.monotonic()
        async with aclosing(follow(self._services.database, TYPES, None, begun=True)) as changes:
            async for change, self.position in changes:
                if not opened.done():
                    opened.set_result(None)
                if self._listeners:
                    asked_at = time.monotonic()
                elif time.monotonic() - asked_at > LINGER_SECONDS:
                    self._task = None  # before the stream is closed: who comes meanwhile opens another
                    return
                if change is not None:
                    await self._give(change)

    async def _give(self, change: Change) -> None:
        recipient = await self._recipient(change) if self._listeners else None
        for listener in tuple(self._listeners.get(recipient or "", ())):
            listener.give(change)

    async def _recipient(self, change: Change) -> str | None:
        version = await self._services.resources.read_version(change.type, change.id, change.version)
        if version is None or version.deleted:
            return None
        return notifications.from_fhir(decoded(version.json, self._base_url)).user_id
