"""From what was stored to events: each version in its order, tried on the live subscriptions, and what is found stored.

A Subscription is itself a version that is told of: so the registry follows the order of all writes, and an event is
found by those that were there before it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import groupby

import structlog

from fhir_server.auth.permission.access import ScopedAccess
from fhir_server.engine.access import Access
from fhir_server.engine.context import Services
from fhir_server.engine.panels import confined, note_written
from fhir_server.engine.subscriptions.definition import is_topic, read_definition
from fhir_server.engine.subscriptions.registration import TYPE
from fhir_server.engine.subscriptions.registry import Live, Registry, Stored, met_before, sees
from fhir_server.engine.subscriptions.status_writer import StatusWriter
from fhir_server.engine.subscriptions.stored_topics import find_topic
from fhir_server.engine.subscriptions.topics import SHIPPED, Watched
from fhir_server.errors import Forbidden, Unprocessable
from fhir_server.r4 import values
from fhir_server.store.database.changes import Change
from fhir_server.store.database.encoding import Document
from fhir_server.store.resources.version_reads import index_entries
from fhir_server.store.work.subscriptions import LIVE, Event, State, SubscriptionStore
from fhir_server.work.items import set_aside

_KEPT_LONGER = timedelta(days=1)
"""Beyond the time after which a receiver that fails is given up: until then nothing is missing."""

log = structlog.get_logger(__name__)

_Entries = Mapping[tuple[str, str, int], Document]


class Matcher:
    """Finds the events in what was stored, for all subscriptions."""

    def __init__(self, services: Services, base_url: str, store: SubscriptionStore) -> None:
        self._services = services
        self._base_url = base_url
        self._store = store
        self._status_writer = StatusWriter(services, base_url, store)
        self.registry = Registry(services.settings.default_timezone, base_url)
        self._last: dict[str, int] = {}
        self._confined: dict[str, Access | None] = {}

    async def load(self) -> None:
        """Take in the subscriptions as far as they have been told of."""
        for state in await self._store.all_live():
            await self._add(state)

    async def forget_erased(self) -> None:
        """Take out what was erased meanwhile, of which the order of writes does not tell."""
        there = await self._store.live_ids()
        for subscription in set(self.registry.live) - there:
            self.registry.remove(subscription)

    async def deal_with(self, changes: Sequence[Change], *, doubtful: bool = False) -> None:
        """Store the events that the changes are; `doubtful` says that some may have been dealt with before."""
        note_written({change.type for change in changes})
        self._confined.clear()
        for is_subscription, run in groupby(changes, lambda change: change.type == TYPE):
            some = list(run)
            if is_subscription:
                for change in some:
                    await self._tell([change], doubtful=doubtful)
                    await self._take(change)
            else:
                await self._tell(some, doubtful=doubtful)
                if any(change.type == "Basic" for change in some):
                    await self._reread_topics()

    # --- Subscriptions -------------------------------------------------------------------------------------------

    async def _take(self, change: Change) -> None:
        version = await self._services.resources.read(TYPE, change.id)
        if version is None or version.deleted:
            self.registry.remove(change.id)
            self._last.pop(change.id, None)
            await self._store.remove(change.id)
            return
        with set_aside("subscription.unreadable"):
            state = await self._store.take(
                State(
                    id=change.id,
                    version=version.version,
                    status=values.decode(version.json)["status"],
                    json=version.json,
                    subscriber=None if version.subscriber is None else dict(version.subscriber),
                    position=change.position,
                    since=version.updated,
                )
            )
            await self._add(await self._store.read_up(state))

    async def _reread_topics(self) -> None:
        """Take in once more what is by a stored topic: one of them may have changed."""
        stored = [
            live.id
            for live in self.registry.live.values()
            if live.definition.by_topic and live.definition.criteria not in SHIPPED
        ]
        for state in (await self._store.find_all(stored)).values() if stored else ():
            await self._add(state)

    async def _add(self, state: State) -> None:
        if state.status not in LIVE:
            self.registry.remove(state.id)
            return
        self._last[state.id] = max(state.last, self._last.get(state.id, 0))
        try:
            criteria = read_definition(values.decode(state.json)).criteria
            topic = await find_topic(self._services, criteria) if is_topic(criteria) else None
            self.registry.add(state, topic)
        except Unprocessable as error:
            # It could be decided when it was stored: a search parameter may have gone since.
            await self._status_writer.become(state, "error", error.issues[0].diagnostics)

    # --- Events --------------------------------------------------------------------------------------------------

    async def _tell(self, changes: Sequence[Change], *, doubtful: bool) -> None:
        relevant = [change for change in changes if change.type in self.registry.types]
        if not relevant:
            return
        entries = await self._entries([(change.type, change.id, change.version) for change in relevant])
        pairs = [(change, each) for change in relevant for each in self._candidates(change, entries)]
        before = await self._entries(
            [(change.type, change.id, change.version - 1) for change, (_, watched) in pairs if watched.previous]
        )
        events: dict[str, dict[str, Event]] = defaultdict(dict)
        for change, (live, watched) in pairs:
            entry = entries[change.type, change.id, change.version]
            if met_before(watched, before.get((change.type, change.id, change.version - 1))):
                access = await self._access(live)
                if access is not None and sees(access, change.type, entry):
                    event = _event(live.id, change, entry)
                    events[live.id][event.key] = event
        if events:
            keep = timedelta(days=self._services.settings.subscription_days) + _KEPT_LONGER
            events_by_subscription = {name: list(some.values()) for name, some in events.items()}
            await self._store.append(events_by_subscription, self._last, keep, doubtful=doubtful)

    async def _entries(self, versions: Sequence[tuple[str, str, int]]) -> _Entries:
        """Return the index entries of versions, each by type, id and number."""
        by_type: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for kind, resource_id, number in dict.fromkeys(versions):
            by_type[kind].append((resource_id, number))
        by_version: dict[tuple[str, str, int], Document] = {}
        for kind, some in by_type.items():
            read = await index_entries(self._services.database, kind, some)
            by_version |= {(kind, *key): entry for key, entry in read.items()}
        return by_version

    def _candidates(self, change: Change, entries: _Entries) -> list[tuple[Live, Watched]]:
        entry = entries.get((change.type, change.id, change.version))
        candidates: list[tuple[Live, Watched]] = []
        if entry is not None:  # else it was erased
            with set_aside("subscription.match_failed", type=change.type):
                candidates += self.registry.candidates(Stored(change.type, entry, change.position, change.version))
        return candidates

    async def _access(self, live: Live) -> Access | None:
        """Return what the owner sees now; None where that cannot be told, which the next delivery says."""
        if not isinstance(live.access, ScopedAccess) or not live.access.is_for_others:
            return live.access
        if live.id not in self._confined:
            try:
                self._confined[live.id] = await confined(self._services, live.access)
            except Forbidden:
                self._confined[live.id] = None
        return self._confined[live.id]


def _event(subscription: str, change: Change, entry: Document) -> Event:
    return Event(
        subscription=subscription,
        type=change.type,
        id=change.id,
        version=change.version,
        at=entry["updated"],
        method=entry["method"],
        group=change.transaction,
    )
