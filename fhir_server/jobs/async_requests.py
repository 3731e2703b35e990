"""The job that carries out requests which are answered later, the oldest first."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from urllib.parse import urlencode

from fhir_server.audit.bundle_entries import bundle_entries
from fhir_server.audit.job import tell
from fhir_server.audit.records import AccessRecord, Actor
from fhir_server.engine.context import Services
from fhir_server.engine.respond_async.carrying_out import Carried, carry_out, give_up
from fhir_server.engine.versions import new_id
from fhir_server.jobs.runner import Job
from fhir_server.store.accounts.bearer_tokens import bearer_token
from fhir_server.store.work.async_requests import AsyncRequestStore
from fhir_server.store.work.jobs import Lease

LOOK_SECONDS = 0.5
_CLEAR_SECONDS = 60.0


def async_requests(services: Services) -> Job:
    """Return the job; it runs for ever."""
    return Job("async-requests", partial(_run, services), 0.0)


async def _run(services: Services, lease: Lease) -> None:
    store = services.stores.async_requests
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
    await carry_out(services, store, taken, partial(_record, services))
    return True


async def _record(services: Services, carried: Carried) -> None:
    """Store the AuditEvent of what was carried out; that of the taking tells from where it was asked."""
    finished = carried.finished
    if finished.token is None:
        return
    token = bearer_token(finished.token)
    entries, kind = bundle_entries(carried.request, carried.response)
    record = AccessRecord(
        id=new_id(),
        milliseconds=int(time.time() * 1000),
        actor=Actor("", token.client_id, token.user_id or "", token.username or "", token.fhir_user or ""),
        method=finished.method,
        path=finished.path,
        query=urlencode(finished.query),
        status=finished.status,
        patient=token.context.patient or "",
        location=kind or finished.location,
        entries=entries,
        patients=finished.patients,
        questions=finished.questions,
    )
    await tell(services, finished.base_url, record)
