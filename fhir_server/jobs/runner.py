"""Runs jobs in the background of a worker: each job in only one worker at a time, and in another when that one dies.

A job keeps what it needs to go on in its lease's state, since it may be cut off at any await.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import structlog

from fhir_server.errors import FhirError, Unavailable
from fhir_server.store.work.jobs import JobStore, Lease, LeaseLost
from fhir_server.work.ending import end

LOOK_SECONDS = 5.0
"""How often a worker looks whether a job needs somebody."""
RETRY_SECONDS = 60.0
"""How long a job that failed rests; one that the database was away from, until the next look."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """Something to do: `run` does it, once or for ever; after it has ended it is due again in `every` seconds."""

    name: str
    run: Callable[[Lease], Awaitable[None]]
    every: float


class Runner:
    """The jobs of one worker."""

    def __init__(self, store: JobStore, worker: str, jobs: Sequence[Job], look_seconds: float = LOOK_SECONDS) -> None:
        self._store = store
        self._worker = worker
        self._jobs = jobs
        self._look_seconds = look_seconds
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Attend to the jobs from now on."""
        self._tasks = [asyncio.create_task(self._attend(job), name=f"job {job.name}") for job in self._jobs]

    async def stop(self) -> None:
        """Break off what is running, and let others go on with it at once."""
        await end(*self._tasks)
        self._tasks = []

    async def _attend(self, job: Job) -> None:
        while True:
            with suppress(Exception):  # logged where it happened
                if await self._store.is_due(job.name):
                    lease = await self._store.acquire(job.name, self._worker)
                    if lease is not None:
                        await hold(job, lease)
            # Not all workers at once.
            await asyncio.sleep(self._look_seconds * random.uniform(0.8, 1.2))  # noqa: S311 - not a secret


async def hold(job: Job, lease: Lease) -> None:
    """Run the job while the lease lasts, and release it; raises what the job raises, and LeaseLost."""
    work = asyncio.ensure_future(job.run(lease))
    try:
        await _until_done_or_lost(work, lease)
    finally:
        await end(work)
        await _release(job, lease, work)
    if work.cancelled():
        raise LeaseLost(f"Another worker has the job {job.name}.")
    work.result()


async def _until_done_or_lost(work: asyncio.Future[None], lease: Lease) -> None:
    held_until = time.monotonic() + lease.seconds
    while time.monotonic() < held_until:
        await asyncio.wait({work}, timeout=lease.seconds / 5)
        if work.done():
            return
        asked_at = time.monotonic()
        try:
            await lease.renew()
        except LeaseLost:
            break
        except FhirError:
            continue
        held_until = asked_at + lease.seconds
    log.warning("job.lost", job=lease.name)


async def _release(job: Job, lease: Lease, work: asyncio.Future[None]) -> None:
    if work.cancelled():
        await lease.release()
        return
    error = work.exception()
    if error is None:
        await lease.release(job.every)
    elif not isinstance(error, LeaseLost):
        log.error("job.failed", job=job.name, kind=type(error).__name__)
        rest = LOOK_SECONDS if isinstance(error, Unavailable) else RETRY_SECONDS
        await lease.release(min(job.every, rest) or rest, type(error).__name__)
