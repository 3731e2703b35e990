"""What goes over a websocket: R4's pings, and a topic's notifications, to whoever is bound to a Subscription.

What was stored while nobody was bound is told when somebody is. A socket takes what it is sent, so there are no
attempts; otherwise it is as by rest-hook, the rights included.
https://hl7.org/fhir/R4/subscription.html#2.46.7.2
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from fhir_server.engine.context import Services, now
from fhir_server.engine.subscriptions.definition import Definition, read_definition
from fhir_server.engine.subscriptions.delivery import Attempt, Tell, see
from fhir_server.engine.subscriptions.notifications import About, EventContent, Kind, bundle, encoded
from fhir_server.engine.subscriptions.rights import owners_access
from fhir_server.engine.subscriptions.status_writer import StatusWriter
from fhir_server.engine.subscriptions.stored_topics import types_told
from fhir_server.engine.subscriptions.waking import listening, rung
from fhir_server.errors import FhirError, Forbidden, Unprocessable
from fhir_server.r4 import values
from fhir_server.r4.subscriber import subscriber_name
from fhir_server.store.work.subscriptions import LIVE, State
from fhir_server.work import metrics

LOOK_SECONDS = 0.25
_BEAT_SECONDS = 1.0


@dataclass(eq=False, slots=True)
class Socket:
    """An open socket: the Subscriptions that it is bound to, each with the number that was told last."""

    bound: dict[str, int] = field(default_factory=dict)
    beaten: dict[str, datetime] = field(default_factory=dict)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    address: str = ""
    """Where it comes from; empty where that is not known."""
    owner: str = ""
    """Whose Subscriptions it is bound to."""


class Ended(Exception):
    """A Subscription that a socket is bound to is told of nothing any longer; the text says why."""


class Sockets:
    """The open sockets of one worker."""

    def __init__(self, services: Services, base_url: str, tell: Tell) -> None:
        self.services = services
        self._base_url = base_url
        self._tell = tell
        self._store = services.stores.subscriptions
        self._open: set[Socket] = set()

    def __len__(self) -> int:
        return len(self._open)

    async def run(self) -> None:
        """Wake the sockets for which there is something, for ever."""
        rounds = 0
        with listening() as bell:
            while True:
                await rung(bell, LOOK_SECONDS)
                rounds += 1
                if rounds % round(_BEAT_SECONDS / LOOK_SECONDS) == 0:
                    for socket in self._open:
                        socket.news.set()
                try:
                    await self._look()
                except FhirError:
                    await asyncio.sleep(1.0)

    async def _look(self) -> None:
        by_subscription: dict[str, list[Socket]] = defaultdict(list)
        for socket in self._open:
            for subscription in socket.bound:
                by_subscription[subscription].append(socket)
        if not by_subscription:
            return
        for subscription, last in (await self._store.last_of(by_subscription)).items():
            for socket in by_subscription[subscription]:
                if last > socket.bound.get(subscription, last):
                    socket.news.set()

    def open(self, address: str) -> Socket | None:
        """Return a new socket; None where there are as many as the settings allow, of all or unbound of one address."""
        settings = self.services.settings
        unbound = [each for each in self._open if address and each.address == address and not each.bound]
        if len(self._open) >= settings.max_streams or len(unbound) >= settings.max_streams_per_user:
            return None
        socket = Socket(address=address)
        self._open.add(socket)
        return socket

    def close(self, socket: Socket) -> None:
        """Forget a socket."""
        self._open.discard(socket)
        socket.bound.clear()

    async def bind(self, socket: Socket, subscription: str) -> str:
        """Bind a socket to a Subscription, which its owner has asked for; return what is said to that.

        Raises Ended.
        """
        state, definition = await self._active(subscription)
        self._require_room(socket, _owner(state))
        socket.bound[subscription] = state.delivered
        socket.beaten[subscription] = now()
        socket.news.set()
        if definition.by_topic:
            return self._notification(state, definition, "handshake")
        return f"bound {subscription}"

    def _require_room(self, socket: Socket, owner: str) -> None:
        """Let the socket be one of the owner's; raises Ended where that one has as many as the setting allows."""
        others = [each for each in self._open if each is not socket and owner and each.owner == owner]
        if len(others) >= self.services.settings.max_streams_per_user:
            raise Ended(f"its owner has {len(others)} sockets, and no more may be (max_streams_per_user)")
        socket.owner = owner

    async def _active(self, subscription: str) -> tuple[State, Definition]:
        state = await self._store.find(subscription)
        definition = None if state is None else read_definition(values.decode(state.json))
        if state is None or definition is None or definition.channel != "websocket" or state.status not in LIVE:
            raise Ended("it is not active")
        return state, definition

    async def messages(self, socket: Socket, subscription: str) -> AsyncIterator[str]:
        """Yield what there is to say of a Subscription that the socket is bound to; raises Ended."""
        while subscription in socket.bound:
            state, definition = await self._active(subscription)
            try:
                types = await types_told(self.services, definition)
                access = await owners_access(self.services, self._base_url, state, types)
            except (Forbidden, Unprocessable) as error:
                reason = error.issues[0].diagnostics
                await StatusWriter(self.services, self._base_url, self._store).become(state, "error", reason)
                raise Ended(reason) from error
            most = definition.most if definition.by_topic else 1
            events = await self._store.events(subscription, socket.bound[subscription] + 1, state.last, most)
            if not events:
                break
            contents = [await see(self.services, access, event) for event in events]
            await self._tell(Attempt(state, "POST", contents if definition.by_topic else (), 200))
            yield self._notification(state, definition, "event-notification", contents)
            metrics.NOTIFICATIONS.labels("websocket", "delivered").inc()
            socket.bound[subscription] = events[-1].number
            socket.beaten[subscription] = now()
            await self._store.received(subscription, events[-1].number)
        if subscription in socket.bound and self._is_beat_due(socket, subscription, definition):
            socket.beaten[subscription] = now()
            yield self._notification(state, definition, "heartbeat")

    def _is_beat_due(self, socket: Socket, subscription: str, definition: Definition) -> bool:
        period = timedelta(seconds=definition.heartbeat)
        return bool(definition.by_topic and period and socket.beaten[subscription] + period <= now())

    def _notification(
        self, state: State, definition: Definition, kind: Kind, contents: list[EventContent] | None = None
    ) -> str:
        if not definition.by_topic:
            return f"ping {state.id}"
        about = About(state.id, definition, state.status, state.last, self._base_url)
        return encoded(bundle(about, kind, contents or [], at=now()), definition.payload).decode()


def _owner(state: State) -> str:
    """Return what names the client and the user that a Subscription was written by; "" on an open server."""
    meaning = (state.subscriber or {}).get("token")
    return "" if meaning is None else subscriber_name(meaning["client"], meaning["user"])
