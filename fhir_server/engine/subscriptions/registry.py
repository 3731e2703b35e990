"""Who is told of a version: the live subscriptions of this server, looked up by what a version's index entry has.

Only the worker that has the job keeps one. It knows the subscriptions as far as the order of all writes has told of
them, so that it makes no difference when it reads: docs/decisions/0045-subscriptions.md has the reasons.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fhir_server.auth.permission.access import ScopedAccess
from fhir_server.engine.access import Access, OpenAccess
from fhir_server.engine.subscriptions.criteria import compiled
from fhir_server.engine.subscriptions.definition import Definition, read_definition
from fhir_server.engine.subscriptions.topics import Topic, Watched, watching
from fhir_server.r4 import values
from fhir_server.search.query.conditions import NOTHING, Condition
from fhir_server.search.query.lookup import Lookup
from fhir_server.search.query.match import holds
from fhir_server.store.accounts.bearer_tokens import bearer_token
from fhir_server.store.work.subscriptions import State


@dataclass(frozen=True, slots=True)
class Live:
    """A subscription that is told of events."""

    id: str
    definition: Definition
    access: Access
    position: str
    since: datetime
    watched: tuple[Watched, ...]


@dataclass(frozen=True, slots=True)
class Stored:
    """A version that was stored: its index entry, and that of the version before where one is needed."""

    type: str
    entry: Mapping[str, Any]
    position: str
    """Where in the order of all writes it stands; empty where that is not known."""
    version: int

    @property
    def deleted(self) -> bool:
        """Whether the version is the end of the resource."""
        return bool(self.entry["method"] == "DELETE")


Item = tuple[str, int]
"""A subscription, and which of the things that it watches."""


class Registry:
    """The live subscriptions by what they watch."""

    def __init__(self, timezone: str, base_url: str) -> None:
        self._timezone = timezone
        self._base_url = base_url
        self._live: dict[str, Live] = {}
        self._lookups: dict[str, Lookup[Item]] = {}

    def __len__(self) -> int:
        return len(self._live)

    def __contains__(self, subscription: str) -> bool:
        return subscription in self._live

    @property
    def live(self) -> Mapping[str, Live]:
        """The subscriptions by their ids."""
        return self._live

    def add(self, state: State, topic: Topic | None = None) -> None:
        """Take in a subscription, in place of what it was before; raises Unprocessable where it cannot be decided.

        `topic` is that of one by topic.
        """
        self.remove(state.id)
        live = self._read(state, topic)
        self._live[state.id] = live
        for number, watched in enumerate(live.watched):
            lookup = self._lookups.setdefault(watched.type, Lookup())
            beside = _visible(live.access, watched.type)
            lookup.add((state.id, number), watched.condition, watched.name, [] if beside is None else [beside])

    def _read(self, state: State, topic: Topic | None) -> Live:
        resource = values.decode(state.json)
        definition = read_definition(resource)
        if topic is not None:
            watched = watching(topic, definition.filters, self._timezone, self._base_url)
        else:
            kind, condition = compiled(definition.criteria, self._timezone, self._base_url)
            watched = [Watched(kind, condition, definition.criteria)]
        meaning = (state.subscriber or {}).get("token")
        access: Access = OpenAccess()
        if meaning is not None:
            access = ScopedAccess(bearer_token(meaning), timezone=self._timezone, base_url=self._base_url)
        return Live(state.id, definition, access, state.position, state.since, tuple(watched))

    def remove(self, subscription: str) -> None:
        """Take a subscription out, if it is in."""
        live = self._live.pop(subscription, None)
        for number, watched in enumerate(live.watched if live else ()):
            self._lookups[watched.type].remove((subscription, number))

    @property
    def types(self) -> frozenset[str]:
        """The resource types that somebody is told of."""
        return frozenset(name for name, lookup in self._lookups.items() if len(lookup))

    def candidates(self, stored: Stored) -> Iterator[tuple[Live, Watched]]:
        """Yield who is told of the version, as far as the version itself decides: not yet by what was before it."""
        lookup = self._lookups.get(stored.type)
        if lookup is None or stored.deleted:
            return
        for subscription, number in lookup.matches(stored.entry):
            live = self._live[subscription]
            watched = live.watched[number]
            if (watched.on_create if stored.version == 1 else watched.on_update) and _is_after(stored, live):
                yield live, watched


def met_before(watched: Watched, entry: Mapping[str, Any] | None) -> bool:
    """Return whether the version before was as the topic asks; the first has none, and what was deleted is none."""
    if watched.previous is None:
        return True
    if entry is None or entry["method"] == "DELETE":
        return watched.passes_on_create
    return holds(watched.previous, entry)


def sees(access: Access, resource_type: str, entry: Mapping[str, Any]) -> bool:
    """Return whether the version exists for who is to be told of it."""
    condition = access.visible(resource_type, "read")
    return condition is None or holds(condition, entry)


def _visible(access: Access, resource_type: str) -> Condition | None:
    """Return what the owner sees of a type for as long as the token means the same; None where that may change."""
    if isinstance(access, ScopedAccess) and access.is_for_others:
        return None
    condition = access.visible(resource_type, "read")
    return None if condition == NOTHING else condition


def _is_after(stored: Stored, live: Live) -> bool:
    """Return whether the version was stored after the subscription: one that is told anew may be older."""
    if stored.position and live.position:
        return stored.position > live.position
    return bool(stored.entry["updated"] >= live.since)
