"""The job that brings search parameters into use, and out of it, as SearchParameter resources come, change and go.

The steps are those of `search.lifecycle`; this job takes them one after another, and does the indexing between two.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any

import structlog
from msgspec.structs import replace

from fhir_server.engine.context import Services
from fhir_server.jobs.runner import RETRY_SECONDS, Job
from fhir_server.packages.contents import DEFINITION_TYPES
from fhir_server.packages.search_parameters import in_use
from fhir_server.search import custom
from fhir_server.search.index.index import index
from fhir_server.search.lifecycle import Pass, State, Wish, agreed, finished, wished, wishes
from fhir_server.store.resources.collections import collection_of
from fhir_server.store.resources.reindexing import BATCH, count, reindex_batch
from fhir_server.store.work.jobs import Lease

LOOK_SECONDS = 1.0
"""How often the resources are looked at, and the workers' announcements."""

log = structlog.get_logger(__name__)


def search_parameters(services: Services, base_url: str) -> Job:
    """Return the job; it runs for ever."""
    return Job("search-parameters", partial(_run, services, base_url), 0.0)


async def _run(services: Services, base_url: str, lease: Lease) -> None:
    await services.following.store.forget_silent()
    course = Course(services, base_url)
    while True:
        if not await course.step():
            await asyncio.sleep(LOOK_SECONDS)


class Course:
    """The taking of steps by one worker."""

    def __init__(self, services: Services, base_url: str) -> None:
        self._services = services
        self._store = services.following.store
        self._index = partial(index, timezone=services.settings.default_timezone, base_url=base_url)
        self._last_change: object = None
        self._last_wishes: dict[str, Wish] | None = None
        self._rest_until = float("-inf")

    async def step(self) -> bool:
        """Take one step; returns whether there may be another to take at once."""
        state = await self._store.state()
        new = wished(state, await self._wishes())
        revision = await self._store.known_to_all()
        if new is state and revision is not None and time.monotonic() >= self._rest_until:
            new = await self._begun(state, agreed(state, revision))
        if new is state and state.running is not None:
            new = await self._further(state.running, state)
        if new is state:
            return False
        if await self._store.replace(state, new) and new.revision != state.revision:
            log.info("search_parameters.changed", revision=new.revision)
            await self._services.following.look()
        return new.running is not None

    async def _wishes(self) -> dict[str, Wish]:
        library = self._services.definitions
        last_change = (await self._store.last_change(), await library.packages.search_parameters_used())
        if self._last_wishes is None or last_change != self._last_change:
            # Asked before it is read: what comes in between is read once more.
            self._last_change = last_change
            own = [resource async for resource in self._store.published()]
            self._last_wishes = wishes([*own, *await self._of_packages(own)])
        return self._last_wishes

    async def _of_packages(self, own: list[Any]) -> list[Any]:
        """Return the search parameters of packages, as far as they claim nothing that those of the site have."""
        taken = {claim for each in own for claim in custom.claims(each)}
        added = []
        async for resource in in_use(self._services.definitions):
            claims = set(custom.claims(resource))
            if taken.isdisjoint(claims):
                added.append(resource)
                taken |= claims
        return added

    async def _begun(self, state: State, new: State) -> State:
        """Return the state, with the number of resources that a pass which begins has before it."""
        if new.running is None or state.running is not None:
            return new
        types = (*new.running.types, *map(collection_of, DEFINITION_TYPES.intersection(new.running.types)))
        total = await count(self._services.database, types)
        return replace(new, running=replace(new.running, types=types, total=total))

    async def _further(self, run: Pass, state: State) -> State:
        """Index the next resources, and return the state after that."""
        if not run.types:
            return self._over(state)
        with self._services.following.working():
            batch = await reindex_batch(
                self._services.resources, run.types[0], self._index, after=run.after, limit=BATCH
            )
        if batch is None:
            return replace(state, running=replace(run, types=run.types[1:], after=""))
        done, failed = run.done + batch.done, run.failed + batch.failed
        return replace(state, running=replace(run, after=batch.last, done=done, failed=failed))

    def _over(self, state: State) -> State:
        new = finished(state)
        if new.failure:
            log.error("search_parameters.failed", reason=new.failure)
            self._rest_until = time.monotonic() + RETRY_SECONDS
        return new
