"""Subscriptions in the background: one worker finds the events in what was stored, all of them deliver."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import aclosing, suppress
from functools import partial

import structlog

from fhir_server.audit.notifications import tell_of_notification
from fhir_server.engine.context import Services
from fhir_server.engine.subscriptions.circuit import Circuits
from fhir_server.engine.subscriptions.criteria import TOLD_TYPES
from fhir_server.engine.subscriptions.delivery import Deliverer
from fhir_server.engine.subscriptions.matching import Matcher
from fhir_server.engine.subscriptions.waking import listening, ring, rung
from fhir_server.engine.versions import new_id
from fhir_server.errors import FhirError, Unavailable
from fhir_server.jobs.runner import Job
from fhir_server.store.database.changes import ChangeFeed
from fhir_server.store.work.jobs import Lease
from fhir_server.store.work.subscriptions import State, SubscriptionStore
from fhir_server.work.ending import end

PAUSE_SECONDS = 1.0
"""How long to wait for a database that is away."""
LOOK_SECONDS = 0.25
"""How often a worker looks for something to deliver."""
AT_ONCE = 16
"""Subscriptions that one worker delivers for at the same time."""
_BATCH = 200
_ERASED_SECONDS = 10.0

log = structlog.get_logger(__name__)


def feed(services: Services) -> ChangeFeed:
    """Return the feed of what subscriptions may be told of; to `begin` it before serving leaves no gap."""
    return ChangeFeed(services.database, "subscriptions", TOLD_TYPES)


def subscriptions(services: Services, base_url: str) -> Job:
    """Return the job that finds events; it runs for ever."""
    return Job("subscriptions", partial(_run, services, base_url), 0.0)


async def _run(services: Services, base_url: str, lease: Lease) -> None:
    store = services.stores.subscriptions
    await store.prepare()
    while True:
        try:
            await match(services, base_url, store)
        except Unavailable:
            await asyncio.sleep(PAUSE_SECONDS)


async def match(services: Services, base_url: str, store: SubscriptionStore) -> None:
    """Find events from where it was left off, for as long as the database answers."""
    matcher = Matcher(services, base_url, store)
    await matcher.load()
    doubtful = True  # what was found last may not have been noted as dealt with
    async with aclosing(feed(services).batches(_BATCH)) as batches:
        looked = time.monotonic()
        async for batch in batches:
            if time.monotonic() - looked > _ERASED_SECONDS:
                await matcher.forget_erased()
                looked = time.monotonic()
            doubtful = doubtful and bool(batch)
            if batch:
                await matcher.deal_with(batch, doubtful=doubtful)
                ring()


class Deliveries:
    """What one worker delivers: some subscriptions at a time, each by a lease that others respect."""

    def __init__(self, services: Services, base_url: str) -> None:
        self._store = services.stores.subscriptions
        worker = f"{services.following.worker}/{new_id()[-8:]}"
        telling = partial(tell_of_notification, services, base_url)
        self._deliverer = Deliverer(services, base_url, self._store, worker, telling, Circuits())
        self._worker = worker
        self._at_work: dict[asyncio.Task[None], State] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Deliver from now on."""
        self._task = asyncio.create_task(self._run(), name="subscriptions: deliveries")

    async def stop(self) -> None:
        """Break off what is under way; it is told once more by whoever goes on."""
        await end(*self._at_work, *([self._task] if self._task else []))
        with suppress(FhirError):
            await self._store.let_go(self._worker)

    async def _run(self) -> None:
        with listening() as bell:
            while True:
                claimed = False
                try:
                    while len(self._at_work) < AT_ONCE and await self._claim():
                        claimed = True
                except FhirError:
                    await asyncio.sleep(PAUSE_SECONDS)
                except Exception as error:
                    log.error("subscription.delivery_failed", kind=type(error).__name__)
                    await asyncio.sleep(PAUSE_SECONDS)
                if not claimed:
                    await rung(bell, LOOK_SECONDS)

    async def _claim(self) -> bool:
        at_work = [state.id for state in self._at_work.values()]
        state = await self._store.claim(self._worker, at_work, self._busy_clients())
        if state is None:
            return False
        task = asyncio.create_task(self._attend(state), name="subscription")
        self._at_work[task] = state
        task.add_done_callback(self._done)
        return True

    def _done(self, task: asyncio.Task[None]) -> None:
        self._at_work.pop(task, None)
        ring()  # there is room for another

    def _busy_clients(self) -> list[str]:
        """Return the clients that leave fewer places free than they have: slow receivers of one hold up nobody else."""
        free = AT_ONCE - len(self._at_work)
        places = Counter(_client(state) for state in self._at_work.values())
        return [client for client, count in places.items() if client and count >= free]

    async def _attend(self, state: State) -> None:
        try:
            await self._deliverer.attend(state)
        except Unavailable:
            return  # the lease ends by itself
        except Exception as error:
            log.error("subscription.delivery_failed", kind=type(error).__name__)


def _client(state: State) -> str:
    """Return the client that a subscription was written by; "" on an open server."""
    return str(((state.subscriber or {}).get("token") or {}).get("client", ""))
