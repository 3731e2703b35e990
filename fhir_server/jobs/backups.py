"""The job that backs up by itself, and removes what is older than the retention says.

The backup is made by a process of its own, the `backup` command: a worker that serves has no time for it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

import structlog

from fhir_server.jobs.runner import Job
from fhir_server.settings import Settings
from fhir_server.store.backup.retention import Retention, prune
from fhir_server.store.work.jobs import Lease

_ENDS_WITHIN = 5.0

log = structlog.get_logger(__name__)


class BackupFailed(Exception):
    """The backup command refused, or was ended; its own lines in the log say why."""


def backups(settings: Settings, target: Path) -> Job:
    """Return the job."""
    return Job("backup", partial(_back_up, settings, target), settings.backup_hours * 3600)


async def _back_up(settings: Settings, target: Path, lease: Lease) -> None:
    await _command(settings, target)
    retention = Retention(settings.backup_daily, settings.backup_weekly, settings.backup_monthly)
    removed = await asyncio.to_thread(prune, target, retention)
    await lease.save({"removed": len(removed)})
    log.info("backup.made", removed=len(removed))


async def _command(settings: Settings, target: Path) -> None:
    environment = os.environ | {
        "FHIR_SERVER_DATABASE_URL": settings.database_url or "",
        "FHIR_SERVER_DATABASE_NAME": settings.database_name,
        "FHIR_SERVER_DATA_DIR": str(settings.data_dir),
    }
    command = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "fhir_server", "backup", str(target)),
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C in a terminal reaches the server alone, which ends this one
    )
    try:
        status = await command.wait()
    except asyncio.CancelledError:
        with suppress(ProcessLookupError):
            command.terminate()
        await asyncio.wait({asyncio.ensure_future(command.wait())}, timeout=_ENDS_WITHIN)
        raise
    if status:
        raise BackupFailed
