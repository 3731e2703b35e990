"""What is measured now and then and not at each request: the event loop's lag, memory, jobs, queues, the journal."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sized
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from fhir_server.engine.context import Services
from fhir_server.errors import FhirError
from fhir_server.settings import Settings
from fhir_server.store.backup.archive import backups_of
from fhir_server.store.database import disk
from fhir_server.store.work.audit_journal import backlog_bytes
from fhir_server.store.work.queues import queues
from fhir_server.work import metrics
from fhir_server.work.ending import end

_LOOP_SECONDS = 0.25
_SAMPLE_SECONDS = 15.0
_STATM = Path("/proc/self/statm")


@asynccontextmanager
async def sampled(services: Services, streams: Sized) -> AsyncIterator[None]:
    """Measure this worker and what it shares with others meanwhile."""
    tasks = [asyncio.create_task(_loop_lag()), asyncio.create_task(_sample(services, streams))]
    try:
        yield
    finally:
        await end(*tasks)


async def _loop_lag() -> None:
    while True:
        due = time.perf_counter() + _LOOP_SECONDS
        await asyncio.sleep(_LOOP_SECONDS)
        metrics.LOOP_LAG_SECONDS.observe(max(0.0, time.perf_counter() - due))


async def _sample(services: Services, streams: Sized) -> None:
    while True:
        metrics.STREAMS.set(len(streams))
        _sample_machine(services.settings)
        with suppress(FhirError):  # a database that is away is told by the requests
            await _sample_work(services)
        await asyncio.sleep(_SAMPLE_SECONDS)


def _sample_machine(settings: Settings) -> None:
    data_dir = settings.data_dir
    with suppress(OSError, ValueError):
        metrics.MEMORY_BYTES.set(int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
    with suppress(OSError):
        metrics.AUDIT_BACKLOG_BYTES.set(backlog_bytes(data_dir / "audit"))
        metrics.DISK_FREE_BYTES.set(disk.free(data_dir))
        if settings.backup_dir is not None and (moments := list(backups_of(settings.backup_dir))):
            metrics.BACKUP_AGE_SECONDS.set((datetime.now(UTC) - moments[-1]).total_seconds())


async def _sample_work(services: Services) -> None:
    for job in await services.stores.jobs.progress():
        metrics.JOB_RUNNING.labels(job.name).set(job.owner is not None)
        metrics.JOB_LAG_SECONDS.labels(job.name).set(job.overdue)
        metrics.JOB_FAILED.labels(job.name).set(bool(job.failure))
    for queue in await queues(services.database):
        metrics.QUEUE_WAITING.labels(queue.name).set(queue.waiting)
        metrics.QUEUE_OLDEST_SECONDS.labels(queue.name).set(queue.oldest)
