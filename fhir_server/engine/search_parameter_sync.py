"""How a process keeps to the search parameters that were added: it learns of changes, and says that it has.

Nothing may be searched by a parameter before every writer indexes by it. So each process announces the revision of the
set that all its work goes by: requests that began under an older one are waited for. A process that has been out of
touch for long learns what is new before it carries out the next request.

By the same announcements one process can wait until every write that is under way anywhere has ended (`barrier`).
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from typing import TYPE_CHECKING, Any

import structlog

from fhir_server.errors import FhirError, Unavailable
from fhir_server.search import registry
from fhir_server.search.index.index_plan import take_too_costly
from fhir_server.search.lifecycle import ACTIVE, REFUSED, State, doubted, refused
from fhir_server.store.search.parameters import SILENT_SECONDS, Progress, SearchParameterStore, revision_of
from fhir_server.work.ending import end

if TYPE_CHECKING:
    from fhir_server.store.database.mongo import Database

LOOK_SECONDS = 1.0
ANNOUNCE_SECONDS = 5.0
BARRIER_SECONDS = 180.0
"""After this without the end of what was under way, who waits for it is to try again."""
FRESH_SECONDS = SILENT_SECONDS * 0.6
"""After this without an announcement, a process must not work before it has made one: others will count it as gone."""

log = structlog.get_logger(__name__)


class SearchParameterSync:
    """The search parameters of this process; those of the database as long as it is started."""

    def __init__(self, store: SearchParameterStore, about: Mapping[str, Any] | None = None) -> None:
        self.store = store
        self.worker = f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}"
        self.revision = 0
        """The revision that the registry has."""
        self.on_return: Callable[[], Awaitable[None]] | None = None
        """What else a process must learn that was out of touch, before it works again."""
        self._barrier = 0
        self._about = dict(about or {})
        self._acknowledged = Progress(-1, 0)
        self._announced_at = float("-inf")
        self._at_work: dict[Progress, int] = {}
        self._task: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Learn of the parameters that there are, and follow them from now on."""
        # Announced first and read afterwards: whoever changes the set in between waits for this process.
        await self._announce()
        await self.look()
        self._task = asyncio.create_task(self._follow(), name="search parameters")

    async def stop(self) -> None:
        """Follow no longer."""
        if self._task is None:
            return
        await end(self._task)
        self._task = None
        if self._looking is not None:  # it might announce once more what leaves now
            await asyncio.wait({self._looking}, timeout=ANNOUNCE_SECONDS)
        try:
            await self.store.leave(self.worker)
        except FhirError:
            log.warning("search_parameters.left_silently")

    def say(self, name: str, value: Any) -> None:
        """Tell others something about this process with its next announcement."""
        self._about[name] = value

    @contextmanager
    def working(self) -> Iterator[None]:
        """Mark work whose writes go by the present revision; a later one is announced only after it."""
        began_by = Progress(self.revision, self._barrier)
        self._at_work[began_by] = self._at_work.get(began_by, 0) + 1
        try:
            yield
        finally:
            left = self._at_work[began_by] - 1
            if left:
                self._at_work[began_by] = left
            else:
                del self._at_work[began_by]

    async def barrier(self) -> None:
        """Return when every write that was under way, in any process, has ended; raises Unavailable after a while."""
        number = await self.store.raise_barrier()
        until = time.monotonic() + BARRIER_SECONDS
        while True:
            await self.look()
            if await self.store.passed_by_all(number):
                return
            if time.monotonic() > until:
                raise Unavailable("Writes that began long ago have not ended yet; try again.")
            await asyncio.sleep(LOOK_SECONDS / 5)

    @property
    def fresh(self) -> bool:
        """Whether others can still count on this process being as it said."""
        return self._task is None or time.monotonic() - self._announced_at < FRESH_SECONDS

    async def holds_at(self, database: Database) -> bool:
        """Return whether the set of this process is the one that a database, which may be a secondary, has."""
        return await revision_of(database) == self.revision

    async def look(self) -> None:
        """Learn what is new, and announce it once all older work is done; raises Unavailable.

        Who comes while that is under way shares it, and its failure: callers that try one after another would wait for
        a database that is away as often as there are callers.
        """
        if self._looking is None:
            self._looking = asyncio.create_task(self._look(), name="search parameters: look")
            self._looking.add_done_callback(self._looked)
        try:
            await asyncio.shield(self._looking)
        except FhirError as error:
            raise copy(error) from error  # each its own: whoever answers a request adds to its error

    def _looked(self, task: asyncio.Task[None]) -> None:
        self._looking = None
        if not task.cancelled():
            task.exception()  # told to whoever waited

    async def _look(self) -> None:
        if not self.fresh:
            await self._return()
        progress = await self.store.progress()
        self._barrier = max(self._barrier, progress.barrier)
        if progress.revision != self.revision:
            self._register(await self.store.state())
        acknowledged = self._oldest()
        if acknowledged != self._acknowledged or time.monotonic() - self._announced_at > ANNOUNCE_SECONDS:
            self._acknowledged = acknowledged
            await self._announce()

    def _oldest(self) -> Progress:
        """Return what all the work of this process goes by."""
        stages = [Progress(self.revision, self._barrier), *self._at_work]
        return Progress(min(each.revision for each in stages), min(each.barrier for each in stages))

    async def _announce(self) -> None:
        asked_at = time.monotonic()
        await self.store.announce(self.worker, self._acknowledged, self._about)
        self._announced_at = asked_at

    async def _return(self) -> None:
        """Come back after a silence, in which others may have gone on without this process.

        What it has written since may lack parameters that were added meanwhile, so those are indexed once more.
        """
        log.warning("search_parameters.out_of_touch", seconds=round(time.monotonic() - self._announced_at))
        if self.on_return is not None:
            await self.on_return()
        await self._announce()
        while True:
            state = await self.store.state()
            doubtful = doubted(state, self._acknowledged.revision)
            if doubtful is state or await self.store.replace(state, doubtful):
                return

    async def refuse(self, codes: frozenset[str]) -> None:
        """Have nobody index any longer by parameters that take too much."""
        while codes:
            state = await self.store.state()
            without = refused(state, codes)
            if without is state:
                return
            if await self.store.replace(state, without):
                log.error("search_parameters.refused", codes=sorted(codes))
                return

    def _register(self, state: State) -> None:
        searched = [entry.wish.definition for entry in state.entries if entry.phase == ACTIVE]
        entries = [entry for entry in state.entries if entry.phase != REFUSED]
        written = [each for entry in entries for each in (*entry.wish.components, entry.wish.definition)]
        registry.register(searched, written)
        self.revision = state.revision

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.refuse(take_too_costly())
                await self.look()
            except FhirError:
                continue  # the database is away; the store has logged it
            except Exception as error:
                log.error("search_parameters.failed", kind=type(error).__name__)
