"""The job that removes blobs whose resource was never stored, left behind by a crash."""

from __future__ import annotations

from functools import partial

import structlog

from fhir_server.jobs.runner import Job
from fhir_server.store.resources.blobs import BlobStore
from fhir_server.store.work.jobs import Lease

EVERY_SECONDS = 3600.0

log = structlog.get_logger(__name__)


def blob_sweep(blobs: BlobStore) -> Job:
    """Return the job."""
    return Job("blob-sweep", partial(_sweep, blobs), EVERY_SECONDS)


async def _sweep(blobs: BlobStore, lease: Lease) -> None:
    removed = await blobs.sweep()
    await lease.save({"removed": removed})
    if removed:
        log.info("blobs.swept", removed=removed)
