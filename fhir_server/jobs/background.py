"""Which jobs a serving worker attends to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fhir_server.engine.context import Services
from fhir_server.jobs.blob_sweep import blob_sweep
from fhir_server.jobs.erasures import erasures
from fhir_server.jobs.runner import Job, Runner
from fhir_server.jobs.search_parameters import search_parameters
from fhir_server.store.jobs import JobStore


def jobs(services: Services, base_url: str) -> tuple[Job, ...]:
    """Return the jobs; `base_url` is that of the FHIR base, below which references count as relative."""
    return (
        search_parameters(services, base_url),
        blob_sweep(services.resources.blobs),
        erasures(services, base_url),
    )


@asynccontextmanager
async def background(services: Services, base_url: str) -> AsyncIterator[None]:
    """Attend to the jobs meanwhile."""
    runner = Runner(JobStore(services.database), services.following.worker, jobs(services, base_url))
    runner.start()
    try:
        yield
    finally:
        await runner.stop()
