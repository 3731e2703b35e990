"""The job that carries out bulk imports, a few beside each other, and clears away what has expired."""

from __future__ import annotations

import asyncio
import time
from functools import partial

import structlog

from fhir_server.audit.bundle_entries import bundle_entries
from fhir_server.audit.job import tell
from fhir_server.audit.records import AccessRecord, Actor
from fhir_server.engine.bulk_import.steps import carry_out
from fhir_server.engine.context import Request, Response, Services
from fhir_server.engine.versions import new_id
from fhir_server.errors import Unavailable
from fhir_server.jobs.runner import Job
from fhir_server.store.accounts.bearer_tokens import bearer_token
from fhir_server.store.work.bulk_imports import BulkImport, Overtaken
from fhir_server.store.work.jobs import Lease
from fhir_server.work.ending import end

LOOK_SECONDS = 0.5
"""How often the job looks for new imports."""
_CLEAR_SECONDS = 60.0
_AT_ONCE = 4
"""Imports that are carried out beside each other: one that waits for its source holds no other up."""

log = structlog.get_logger(__name__)


def bulk_imports(services: Services) -> Job:
    """Return the job; it runs for ever."""
    return Job("bulk-imports", partial(_run, services), 0.0)


async def _run(services: Services, lease: Lease) -> None:
    store = services.stores.bulk_imports
    running: dict[str, asyncio.Task[None]] = {}
    cleared = float("-inf")
    try:
        while True:
            running = {work: task for work, task in running.items() if not task.done()}
            for work in await store.unfinished():
                if work.id not in running and len(running) < _AT_ONCE:
                    running[work.id] = asyncio.create_task(_carried_out(services, work), name=f"import {work.id}")
            if time.monotonic() - cleared > _CLEAR_SECONDS:
                cleared = time.monotonic()
                await store.clear()
            await asyncio.sleep(LOOK_SECONDS)
    finally:
        await end(*running.values())


async def _carried_out(services: Services, work: BulkImport) -> None:
    try:
        await carry_out(services, work, partial(_record, services))
    except (Unavailable, Overtaken) as error:
        log.warning("import.broken_off", kind=type(error).__name__)  # it is taken up again from where it stands


async def _record(services: Services, work: BulkImport, request: Request, response: Response) -> None:
    """Store the AuditEvent of a transaction."""
    if work.token is None:
        return
    token = bearer_token(work.token)
    entries, kind = bundle_entries(request, response)
    record = AccessRecord(
        id=new_id(),
        milliseconds=int(time.time() * 1000),
        actor=Actor("", token.client_id, token.user_id or "", token.username or "", token.fhir_user or ""),
        method=request.method,
        path=request.path,
        query="",
        status=response.status,
        location=kind,
        entries=entries,
        questions=(f"$import?request={work.id}",),
    )
    await tell(services, work.base_url, record)
