"""Bringing the events of one subscription to its receiver: one notification after another, in the order of the events.

Before each the one access rule is asked what the owner may see now. What fails is tried again after growing pauses; a
receiver that has failed for days is given up, and the Subscription says at which event.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile

from fhir_server.auth.outbound import Outgoing, Refused, Unanswered, send
from fhir_server.engine.access import Access
from fhir_server.engine.context import Services, now
from fhir_server.engine.subscriptions.circuit import Circuits
from fhir_server.engine.subscriptions.definition import Definition, read_definition
from fhir_server.engine.subscriptions.notifications import About, EventContent, Kind, Message, bundle, by_http, encoded
from fhir_server.engine.subscriptions.registration import read_secrets
from fhir_server.engine.subscriptions.rights import owners_access
from fhir_server.engine.subscriptions.status_writer import StatusWriter
from fhir_server.engine.subscriptions.stored_topics import types_told
from fhir_server.errors import Forbidden, Unprocessable
from fhir_server.r4 import values
from fhir_server.store.work.subscriptions import LIVE, Event, State, SubscriptionStore
from fhir_server.work import metrics

SLICE_SECONDS = 5.0
"""How long one subscription is attended to before others have their turn."""
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 900.0
_GONE = 410


@dataclass(frozen=True, slots=True)
class Attempt:
    """A delivery that has reached the receiver: what was sent, to whom, and its answer (0: none has come)."""

    state: State
    method: str
    events: Sequence[EventContent]
    status: int


Tell = Callable[[Attempt], Awaitable[None]]
"""Has the audit trail learn of a delivery."""


class _Stop(Exception):
    """The subscription is not carried out any longer: its new status, and why."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(slots=True)
class Deliverer:
    """Delivers for the subscriptions that one worker claims."""

    services: Services
    base_url: str
    store: SubscriptionStore
    worker: str
    tell: Tell
    circuits: Circuits

    def status_writer(self) -> StatusWriter:
        """Return what writes the status of subscriptions."""
        return StatusWriter(self.services, self.base_url, self.store)

    async def attend(self, state: State) -> None:
        """Deliver what a claimed subscription has waiting, for a while, and let it go."""
        until = time.monotonic() + SLICE_SECONDS
        turn = _Turn(self, state, read_definition(values.decode(state.json)))
        try:
            while await turn.step() and time.monotonic() < until:
                pass
        except _Stop as stop:
            turn.state = await self.status_writer().become(turn.state, stop.status, str(stop))
            if turn.state.status in LIVE:  # somebody has changed it, of which the order of writes is still to tell
                await self.store.failed(turn.state, self.worker, _FIRST_PAUSE, None)
                turn.held = False
        if turn.held:
            await self.store.release(turn.state, self.worker, turn.due(), waiting=not turn.parked)


class _Turn:
    """One subscription while a worker has it."""

    def __init__(self, deliverer: Deliverer, state: State, definition: Definition) -> None:
        self._by = deliverer
        self.state = state
        self._definition = definition
        self.held = True
        self.parked = False

    def due(self) -> datetime | None:
        """Return when there is something to do although no event comes: a heartbeat, or the end."""
        if self.state.status not in LIVE:
            return None
        times = [self._definition.end, None if self.parked else self._next_beat()]
        return min((each for each in times if each is not None), default=None)

    def _next_beat(self) -> datetime | None:
        if not self._definition.heartbeat or not self._definition.by_topic:
            return None
        return (self.state.beaten or now()) + timedelta(seconds=self._definition.heartbeat)

    async def step(self) -> bool:
        """Do the next thing; returns whether there may be another. Raises _Stop."""
        if self._definition.end is not None and self._definition.end <= now():
            raise _Stop("off", "")
        if self.state.status not in LIVE:
            return False
        access = await self._access()
        if self.state.status == "requested":
            return await self._begin()
        if self._definition.channel == "websocket":
            self.parked = True  # whoever is bound to it is told by the worker that has the socket
            return False
        if self.state.last - self.state.delivered > self._by.services.settings.max_pending_events:
            raise _Stop("error", f"Too many events wait. It stopped before event {self.state.delivered + 1}.")
        if self.state.last > self.state.delivered:
            return await self._events(access)
        beat = self._next_beat()
        if beat is not None and beat <= now():
            return await self._notify("heartbeat", [], self.state.delivered)
        return False

    async def _access(self) -> Access:
        try:
            types = await types_told(self._by.services, self._definition)
            return await owners_access(self._by.services, self._by.base_url, self.state, types)
        except (Forbidden, Unprocessable) as error:
            reason = error.issues[0].diagnostics
            raise _Stop("error", f"{reason} It stopped before event {self.state.delivered + 1}.") from error

    async def _begin(self) -> bool:
        """Activate what was asked for; a receiver of a topic's notifications is shaken hands with first."""
        shaken = self._definition.by_topic and self._definition.channel == "rest-hook"
        if shaken and not await self._notify("handshake", [], self.state.delivered):
            return False
        self.state = await self._by.status_writer().become(self.state, "active")
        return self.state.status == "active"

    # --- Events --------------------------------------------------------------------------------------------------

    async def _events(self, access: Access) -> bool:
        most = self._definition.most if self._definition.by_topic else 1
        first, last = self.state.delivered + 1, self.state.last
        events = _whole_groups(await self._by.store.events(self.state.id, first, last, most + 1), most)
        if not events:  # the time for which they are kept is over
            return await self._note(last, {"at": now(), "number": last, "status": "expired"})
        contents = [await see(self._by.services, access, event) for event in events]
        return await self._notify("event-notification", contents, events[-1].number)

    async def _notify(self, kind: Kind, contents: Sequence[EventContent], number: int) -> bool:
        """Send a notification; returns whether to go on at once. Raises _Stop."""
        request = self._request(kind, contents)
        if request is None:
            return await self._note(number, {"at": now(), "number": number, "status": "withheld"})
        pause = self._by.circuits.pause(self._definition.endpoint)
        if pause:
            await self._by.store.failed(self.state, self._by.worker, pause, None)
            self.held = False
            return False
        began = time.monotonic()
        url, outgoing = request
        status, reason, reached = await self._sent(url, outgoing)
        entry = {
            "at": now(),
            "kind": kind,
            "number": number,
            "status": status or reason,
            "milliseconds": round((time.monotonic() - began) * 1000),
        }
        if reached:
            await self._by.tell(Attempt(self.state, outgoing.method, contents, status))
        well = 200 <= status < 300
        self._by.circuits.note(self._definition.endpoint, well=well)
        metrics.NOTIFICATIONS.labels("rest-hook", "delivered" if well else "failed").inc()
        if well:
            return await self._note(number, entry)
        return await self._failed(kind, status, reason, entry)

    def _request(self, kind: Kind, contents: Sequence[EventContent]) -> tuple[str, Outgoing] | None:
        """Return where to send what; None where nothing is left to be sent."""
        definition, at = self._definition, now()
        secrets = read_secrets(self._by.services.settings, self.state.subscriber, self.state.id)
        if secrets is None:
            raise _Stop("error", "Its headers were sealed under another key: write it again with them.")
        if secrets.missing:
            raise _Stop(
                "error", f"What is hidden of it is not known here ({secrets.missing}): write it again with that."
            )
        name = f"{self.state.id}_{contents[-1].event.number if contents else f'{kind}_{int(at.timestamp())}'}"
        if definition.by_topic:
            body = encoded(bundle(self._about(), kind, contents, at=at), definition.payload)
            return definition.endpoint, by_http(definition, secrets, Message(name, at, body))
        if not definition.payload:
            return definition.endpoint, by_http(definition, secrets, Message(name, at))
        if contents[0].json is None:
            return None
        body = encoded(values.decode(contents[0].json), definition.payload)
        message = Message(name, at, body, "PUT")
        return _below(definition.endpoint, contents[0].reference), by_http(definition, secrets, message)

    def _about(self) -> About:
        return About(self.state.id, self._definition, self.state.status, self.state.last, self._by.base_url)

    async def _sent(self, url: str, outgoing: Outgoing) -> tuple[int, str, bool]:
        """Return the status that the receiver answers, or 0, what is wrong, and whether it may have what was sent."""
        try:
            status = await send(url, outgoing, allow_internal=self._by.services.settings.allow_internal_urls)
        except Refused as refused:
            return 0, str(refused), isinstance(refused, Unanswered)
        return status, f"it answers {status}", True

    async def _note(self, number: int, entry: Mapping[str, object]) -> bool:
        """Note that all up to the number was told; returns whether this worker still has the subscription."""
        state = await self._by.store.delivered_to(self.state, self._by.worker, number, entry)
        if state is None:
            self.held = False
            return False
        changed = state.version != self.state.version
        self.state = state
        return not changed

    async def _failed(self, kind: Kind, status: int, reason: str, entry: Mapping[str, object]) -> bool:
        place = f"It stopped before event {self.state.delivered + 1}."
        if status == _GONE:
            raise _Stop("off", f"The receiver answers that it is gone (410). {place}")
        if kind == "handshake":
            raise _Stop("error", f"The receiver did not take the handshake: {reason}.")
        failing = self.state.failing or now()
        if now() - failing > timedelta(days=self._by.services.settings.subscription_days):
            raise _Stop("error", f"Since {failing:%Y-%m-%d %H:%M} UTC the receiver fails: {reason}. {place}")
        pause = min(_FIRST_PAUSE * 2.0 ** min(self.state.attempts, 20), _LONGEST_PAUSE)
        await self._by.store.failed(self.state, self._by.worker, pause, entry)
        self.held = False
        return False


async def see(services: Services, access: Access, event: Event) -> EventContent:
    """Return the event with the version that it is about, where the owner sees that, and the resource, now."""
    where = access.visible(event.type, "read")
    version = await services.resources.read_version(event.type, event.id, event.version, where=where)
    return EventContent(event, None if version is None or version.deleted else version.json)


def _whole_groups(events: Sequence[Event], most: int) -> list[Event]:
    """Return as many events as one notification may hold; a transaction is cut only where it alone is larger."""
    if len(events) <= most:
        return list(events)
    group = events[most].group
    if not group or events[most - 1].group != group:
        return list(events[:most])
    before = list(takewhile(lambda event: event.group != group, events))
    return before or list(events[:most])


def _below(endpoint: str, reference: str) -> str:
    """Return the URL of a resource on the receiver, which is a FHIR base then; a query stays at its end."""
    base, question, query = endpoint.partition("?")
    return f"{base.rstrip('/')}/{reference}{question}{query}"
