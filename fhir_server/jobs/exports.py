"""The job that carries out bulk exports, a file at a time and the exports in turn, and clears away what has expired."""

from __future__ import annotations

import asyncio
import time
from functools import partial

import structlog

from fhir_server.engine.bulk.steps import take_step
from fhir_server.engine.context import Services
from fhir_server.jobs.runner import Job
from fhir_server.store.work.exports import ExportStore
from fhir_server.store.work.jobs import Lease

LOOK_SECONDS = 0.5
"""How often the job looks for new exports."""
_CLEAR_SECONDS = 60.0
_SWEEP_SECONDS = 3600.0

log = structlog.get_logger(__name__)


def exports(services: Services) -> Job:
    """Return the job; it runs for ever."""
    return Job("exports", partial(_run, services), 0.0)


async def _run(services: Services, lease: Lease) -> None:
    store = services.stores.exports
    cleared = swept = float("-inf")
    while True:
        if not await take_turns(services, store):
            await asyncio.sleep(LOOK_SECONDS)
        if time.monotonic() - cleared > _CLEAR_SECONDS:
            cleared = time.monotonic()
            for export in await store.expired():
                await store.remove(export)
        if time.monotonic() - swept > _SWEEP_SECONDS:
            swept = time.monotonic()
            await store.sweep()


async def take_turns(services: Services, store: ExportStore) -> bool:
    """Take one step of each export that is under way; returns whether there was any."""
    waiting = await store.unfinished()
    for export in waiting:
        await take_step(services, store, export)
    return bool(waiting)
