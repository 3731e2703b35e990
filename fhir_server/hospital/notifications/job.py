"""The job that tells patients what was written about them, by whichever door it came."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import timedelta
from functools import partial

from fhir_server.engine.context import Services
from fhir_server.errors import Unavailable
from fhir_server.hospital.api.references import decoded
from fhir_server.hospital.notifications.events import TYPES, Step, event_of
from fhir_server.hospital.notifications.sender import Teller
from fhir_server.jobs.runner import Job
from fhir_server.store.database.changes import Change, ChangeFeed
from fhir_server.store.resources.resources import Version
from fhir_server.store.work.jobs import Lease
from fhir_server.work.items import set_aside
from mappings.shared.elements import Resource

PAUSE_SECONDS = 2.0
"""How long to wait for a database that is away."""


def notifications(services: Services, base_url: str) -> Job:
    """Return the job; it runs for ever."""
    return Job("notifications", partial(_run, services, base_url), 0.0)


def feed(services: Services) -> ChangeFeed:
    """Return the feed of what may be news; to `begin` it before serving leaves no gap between the two."""
    return ChangeFeed(services.database, "notifications", TYPES)


async def _run(services: Services, base_url: str, lease: Lease) -> None:
    teller = Teller(services, base_url)
    while True:
        try:
            async with aclosing(feed(services).follow()) as changes:
                async for change in changes:
                    await deal_with(services, teller, change)
        except Unavailable:
            await asyncio.sleep(PAUSE_SECONDS)


async def deal_with(services: Services, teller: Teller, change: Change) -> None:
    """Tell what a change means to its patient, if anything; raises Unavailable where the database is away."""
    with set_aside("notification.failed", type=change.type):
        step = await _step(services, teller.base_url, change)
        event = event_of(step) if step else None
        if step and event:
            await teller.tell(event, step.at)


async def _step(services: Services, base_url: str, change: Change) -> Step | None:
    now = await services.resources.read_version(change.type, change.id, change.version)
    if now is None:
        return None  # erased
    before = None
    if change.version > 1:
        before = await services.resources.read_version(change.type, change.id, change.version - 1)
    news = timedelta(days=services.settings.notify_days)
    versions = (_resource(before, base_url), _resource(now, base_url))
    return Step(change.type, change.id, change.version, now.updated, *versions, news, now.links)


def _resource(version: Version | None, base_url: str) -> Resource | None:
    if version is None or version.deleted:
        return None
    return decoded(version.json, base_url)
