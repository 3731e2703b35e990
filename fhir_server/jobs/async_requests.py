"""The job that carries out requests which are answered later, the oldest first."""

from __future__ import annotations

import asyncio
import time
from functools import partial

from fhir_server.engine.context import Services
from fhir_server.engine.respond_async.carrying_out import carry_out, give_up
from fhir_server.jobs.runner import Job
from fhir_server.store.work.async_requests import AsyncRequestStore
from fhir_server.store.work.jobs import Lease

LOOK_SECONDS = 0.5
_CLEAR_SECONDS = 60.0


def async_requests(services: Services) -> Job:
    """Return the job; it runs for ever."""
    return Job("async-requests", partial(_run, services), 0.0)


async def _run(services: Services, lease: Lease) -> None:
    store = AsyncRequestStore(services.database)
    await take_over(services, store, lease.owner)
    cleared = float("-inf")
    while True:
        if not await take_turn(services, store, lease.owner):
            await asyncio.sleep(LOOK_SECONDS)
        if time.monotonic() - cleared > _CLEAR_SECONDS:
            cleared = time.monotonic()
            await store.clear()


async def take_over(services: Services, store: AsyncRequestStore, worker: str) -> None:
    """See to what the worker that had the job before has left: what changes nothing is begun again."""
    for taken in await store.left_by_others(worker):
        if taken.repeatable:
            await store.put_back(taken)
        else:
            await give_up(services, store, taken)


async def take_turn(services: Services, store: AsyncRequestStore, worker: str) -> bool:
    """Carry out the oldest request; returns whether there was one."""
    taken = await store.take(worker)
    if taken is None:
        return False
    await carry_out(services, store, taken)
    return True
