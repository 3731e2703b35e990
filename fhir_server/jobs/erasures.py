"""The job that takes up erasures and purges that were broken off, and looks once more after those that are done.

What was under way when an erasure ended, a notification or a vendor's upload, may have come after it.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import structlog

from fhir_server.engine.context import Context, Services, now
from fhir_server.engine.gdpr.erasure import erase_patient
from fhir_server.engine.purge import finish_purges
from fhir_server.jobs.runner import Job
from fhir_server.store.work.jobs import Lease
from fhir_server.work.items import set_aside

EVERY_SECONDS = 300.0
LOOKED_AFTER = timedelta(minutes=30)

log = structlog.get_logger(__name__)


def erasures(services: Services, base_url: str) -> Job:
    """Return the job."""
    return Job("erasures", partial(_run, services, base_url), EVERY_SECONDS)


async def _run(services: Services, base_url: str, lease: Lease) -> None:
    record = services.stores.erasures
    patients = [*await record.unfinished(), *await record.finished_since(now() - LOOKED_AFTER)]
    erased = 0
    for patient in patients:
        with set_aside("erasure.failed", seconds=None):  # it stays unfinished, and is taken up again
            await erase_patient(services, base_url, patient)
            erased += 1
    purged = await finish_purges(Context(services, base_url))
    if purged:
        log.info("purges.finished", count=purged)
    if patients:
        log.info("erasures.looked_after", count=erased, failed=len(patients) - erased)
