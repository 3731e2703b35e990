"""The job that indexes anew what an earlier release has indexed in another way, by itself and beside requests."""

from __future__ import annotations

import asyncio
from functools import partial

import structlog

from fhir_server.engine.context import Services
from fhir_server.jobs.runner import Job
from fhir_server.search.index.index import INDEX_VERSION, index
from fhir_server.store.resources.index_versions import OLDER, count_older, note_current, outdated
from fhir_server.store.resources.reindexing import reindex_batch
from fhir_server.store.work.jobs import Lease

NAME = "index-upgrade"
EVERY_SECONDS = 300.0
_PAUSE = 0.05
"""Between two batches, so that requests come first."""

log = structlog.get_logger(__name__)


def index_upgrade(services: Services, base_url: str) -> Job:
    """Return the job; a process that dies leaves nothing to go on from, as what is done is known by itself."""
    return Job(NAME, partial(upgrade, services, base_url), EVERY_SECONDS)


async def upgrade(services: Services, base_url: str, _: Lease | None = None) -> None:
    """Index all resources with an older index anew; does nothing while a worker of an earlier release is alive."""
    collections = await outdated(services.database)
    if not collections or not await _all_write_this_version(services):
        return
    older = await count_older(services.database, collections)
    if older:
        log.info("index.older", resources=older, version=INDEX_VERSION)
    making = partial(index, timezone=services.settings.default_timezone, base_url=base_url)
    done = failed = 0
    for name in collections:
        after = ""
        while True:
            with services.following.working():
                batch = await reindex_batch(services.resources, name, making, after=after, among=OLDER)
            if batch is None:
                break
            after, done, failed = batch.last, done + batch.done, failed + batch.failed
            await asyncio.sleep(_PAUSE)
        # What could not be indexed bears a mark of its own, and is not tried again and again.
        await note_current(services.database, name)
    if older:
        log.info("index.upgraded", resources=done, failed=failed, version=INDEX_VERSION)


async def _all_write_this_version(services: Services) -> bool:
    """Return whether no process would write an older index once a collection is called current."""
    return all(about.get("index") == INDEX_VERSION for about in await services.following.store.living())
