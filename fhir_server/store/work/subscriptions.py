"""Subscriptions as they are carried out: how each stands, the events that it is told of, and what was told already.

A subscription has one document with its state, and one for each event, numbered from 1 without gaps. An event is stored
once, however often it is found: its number is unique, and so is the version that it tells of. Times of leases are those
of the workers' clocks.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from pymongo import ReturnDocument, UpdateOne
from pymongo.errors import BulkWriteError

from fhir_server.store.database.encoding import Document
from fhir_server.store.database.mongo import Database, translated
from fhir_server.store.taken_keys import DUPLICATE_KEY

STATES = "server_subscriptions"
EVENTS = "server_subscription_events"
LEASE_SECONDS = 60.0
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
_LOGGED = 50
_AT_ONCE = 1000
LIVE = ("requested", "active")
"""The states in which a subscription is told of events."""


class State(msgspec.Struct, frozen=True, kw_only=True):
    """How a subscription stands; `last` is the number of its latest event, `delivered` of the last one told."""

    id: str
    version: int
    """The version of the Subscription that this is about."""
    status: str
    json: bytes
    """That version, without its secrets."""
    subscriber: dict[str, Any] | None = None
    position: str = ""
    """Where in the order of all writes it began."""
    since: datetime = _NEVER
    last: int = 0
    delivered: int = 0
    due: datetime | None = None
    holder: str = ""
    until: datetime = _NEVER
    attempts: int = 0
    failing: datetime | None = None
    """Since when deliveries fail."""
    beaten: datetime | None = None
    """When it was last heard of by its receiver, for heartbeats."""
    log: tuple[dict[str, Any], ...] = ()


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """That a version was stored which a subscription is told of."""

    subscription: str
    type: str
    id: str
    version: int
    at: datetime
    method: str
    group: str = ""
    """Names the transaction that it is part of; empty for none."""
    number: int = 0

    @property
    def key(self) -> str:
        """The version that it tells of."""
        return f"{self.type}/{self.id}/{self.version}"


class SubscriptionStore:
    """Keeps states and events."""

    def __init__(self, database: Database) -> None:
        self._resources = database.current("Subscription")
        self._states = database.collection(STATES)
        self._events = database.collection(EVENTS)

    async def prepare(self) -> None:
        """Make the indexes."""
        with translated:
            await self._states.create_index("due", partialFilterExpression={"due": {"$exists": True}})
            await self._states.create_index("status")
            await self._events.create_index([("subscription", 1), ("key", 1)], unique=True)
            await self._events.create_index([("subscription", 1), ("number", 1)], unique=True)
            await self._events.create_index("expires", expireAfterSeconds=0)

    # --- States --------------------------------------------------------------------------------------------------

    async def all_live(self) -> list[State]:
        """Return the states of those that are told of events, each with the number of its latest event."""
        with translated:
            documents = await self._states.find({"status": {"$in": LIVE}}).to_list()
        return [await self.read_up(_state(document)) for document in documents]

    async def every(self) -> list[State]:
        """Return how all subscriptions stand, those with the most waiting first."""
        waiting: Document = {"$set": {"waiting": {"$subtract": ["$last", "$delivered"]}}}
        with translated:
            cursor = await self._states.aggregate([waiting, {"$sort": {"waiting": -1, "_id": 1}}])
            return [_state(document) async for document in cursor]

    async def read_up(self, state: State) -> State:
        """Return the state with the number of the latest event, also where that was stored and not yet counted."""
        with translated:
            newest = await self._events.find_one({"subscription": state.id}, {"number": 1}, sort=[("number", -1)])
        number = newest["number"] if newest else 0
        return msgspec.structs.replace(state, last=number) if number > state.last else state

    async def count_with(self, key: str, most: int) -> int:
        """Return how many Subscriptions there are with a key of the index, up to some number."""
        with translated:
            return await self._resources.count_documents({"keys": key}, limit=most)

    async def of_user(self, user_id: str) -> list[str]:
        """Return the Subscriptions that act with a user's rights, by any app; no index helps with it."""
        with translated:
            documents = await self._resources.find({"subscriber.token.user": user_id}, {"_id": 1}).to_list()
        return [document["_id"] for document in documents]

    async def live_ids(self) -> set[str]:
        """Return those that are told of events."""
        with translated:
            return {each["_id"] async for each in self._states.find({"status": {"$in": LIVE}}, {"_id": 1})}

    async def find(self, subscription: str) -> State | None:
        """Return how a subscription stands; None where it was never carried out."""
        with translated:
            document = await self._states.find_one({"_id": subscription})
        return None if document is None else _state(document)

    async def find_all(self, subscriptions: Iterable[str]) -> dict[str, State]:
        """Return how those of the subscriptions stand that were ever carried out."""
        with translated:
            documents = await self._states.find({"_id": {"$in": list(subscriptions)}}).to_list()
        return {document["_id"]: _state(document) for document in documents}

    async def take(self, state: State) -> State:
        """Let a version of a Subscription be the one that is carried out, unless a later one is; return the state.

        One that is requested begins anew with its attempts, and where its events stand.
        """
        fields: Document = {"version": state.version, "status": state.status, "json": state.json}
        fields["subscriber"] = state.subscriber
        change: Document = {"$set": fields, "$setOnInsert": _first(state)}
        if state.status == "requested":
            free = {"holder": "", "until": _NEVER}  # whoever delivers by the version before loses it
            fields |= {"due": datetime.now(UTC), "attempts": 0, "failing": None, **free}
            fields |= {"position": state.position, "since": state.since}
        elif state.status not in LIVE:
            change["$unset"] = {"due": ""}
        with translated:
            document = await self._states.find_one({"_id": state.id})
            if document is None or document["version"] <= state.version:
                document = await self._states.find_one_and_update(
                    {"_id": state.id, "version": {"$lte": state.version}},
                    change,
                    upsert=document is None,
                    return_document=ReturnDocument.AFTER,
                )
        return _state(document) if document else state

    async def became(self, state: State, version: int, status: str, json: bytes) -> None:
        """Note the version that the server itself made of a Subscription, so that it is not taken for news."""
        change: Document = {"$set": {"version": version, "status": status, "json": json}}
        if status not in LIVE:
            change["$unset"] = {"due": ""}
        with translated:
            await self._states.update_one({"_id": state.id, "version": state.version}, change)

    async def remove(self, subscription: str) -> None:
        """Forget a subscription with its events."""
        with translated:
            await self._events.delete_many({"subscription": subscription})
            await self._states.delete_one({"_id": subscription})

    # --- Events --------------------------------------------------------------------------------------------------

    async def append(
        self, events: Mapping[str, Sequence[Event]], last: dict[str, int], keep: timedelta, *, doubtful: bool = False
    ) -> None:
        """Store the events of each subscription behind its latest one, and let them be delivered.

        `last` are the numbers of the latest ones, which is kept up to date. Those that are stored already are left:
        `doubtful` says that there may be such.
        """
        expires = datetime.now(UTC) + keep
        new = await self._unknown(events) if doubtful else events
        numbered = {
            name: [
                msgspec.structs.replace(event, number=last.get(name, 0) + position)
                for position, event in enumerate(some, 1)
            ]
            for name, some in new.items()
            if some
        }
        refused = await self._insert([event for some in numbered.values() for event in some], expires)
        for name, some in numbered.items():
            last[name] = await self._one_by_one(name, some, expires) if name in refused else some[-1].number
        await self._let_be_delivered({name: last.get(name, 0) for name in events})

    async def _unknown(self, events: Mapping[str, Sequence[Event]]) -> dict[str, list[Event]]:
        """Return those of the events that are not stored."""
        new: dict[str, list[Event]] = {}
        for name, some in events.items():
            condition = {"subscription": name, "key": {"$in": [event.key for event in some]}}
            with translated:
                stored = {each["key"] async for each in self._events.find(condition, {"key": 1})}
            new[name] = [event for event in some if event.key not in stored]
        return new

    async def _insert(self, events: Sequence[Event], expires: datetime) -> set[str]:
        """Store events; return the subscriptions of which one is refused, since its number or version is there."""
        refused: set[str] = set()
        with translated:
            for start in range(0, len(events), _AT_ONCE):
                some = events[start : start + _AT_ONCE]
                try:
                    await self._events.insert_many([_event_document(each, expires) for each in some], ordered=False)
                except BulkWriteError as error:
                    failed = error.details["writeErrors"]
                    if any(each["code"] != DUPLICATE_KEY for each in failed):
                        raise
                    refused |= {some[each["index"]].subscription for each in failed}
        return refused

    async def _one_by_one(self, subscription: str, events: Sequence[Event], expires: datetime) -> int:
        """Store the events of one subscription in their order, each once; return the number of the latest.

        What a batch has stored of them behind a refused one is taken back first: nobody was told of it.
        """
        last = 0
        with translated:
            stored = [{"key": event.key, "number": event.number} for event in events]
            counted = (await self._states.find_one({"_id": subscription}, {"last": 1}) or {}).get("last", 0)
            await self._events.delete_many({"subscription": subscription, "number": {"$gt": counted}, "$or": stored})
        for event in events:
            last = await self._insert_next(event, expires)
        return last

    async def _insert_next(self, event: Event, expires: datetime) -> int:
        """Store an event behind the latest one, unless it is there; return the number of the latest."""
        while True:
            with translated:
                state = await self._states.find_one({"_id": event.subscription}, {"last": 1})
                newest = await self._events.find_one(
                    {"subscription": event.subscription}, {"number": 1}, sort=[("number", -1)]
                )
                mine = {"subscription": event.subscription, "key": event.key}
                there = await self._events.find_one(mine, {"_id": 1})
            last = max(newest["number"] if newest else 0, state["last"] if state else 0)
            if there is not None:
                return last
            if not await self._insert([msgspec.structs.replace(event, number=last + 1)], expires):
                return last + 1

    async def _let_be_delivered(self, last: Mapping[str, int]) -> None:
        now = datetime.now(UTC)
        soon: Document = {"$ifNull": ["$due", now]}
        due: Document = {"$cond": [{"$gt": ["$attempts", 0]}, soon, {"$min": [soon, now]}]}
        updates = [
            UpdateOne(
                {"_id": name, "status": {"$in": LIVE}}, [{"$set": {"last": {"$max": ["$last", number]}, "due": due}}]
            )
            for name, number in last.items()
        ]
        with translated:
            for start in range(0, len(updates), _AT_ONCE):
                await self._states.bulk_write(updates[start : start + _AT_ONCE], ordered=False)

    async def events(self, subscription: str, first: int, until: int, limit: int) -> list[Event]:
        """Return events by their numbers, from the first to the last of those that are still kept."""
        condition = {"subscription": subscription, "number": {"$gte": first, "$lte": until}}
        with translated:
            documents = await self._events.find(condition).sort("number", 1).limit(limit).to_list()
        return [_event(document) for document in documents]

    async def oldest_kept(self, subscription: str) -> int | None:
        """Return the number of the oldest event that is still kept, or None."""
        with translated:
            oldest = await self._events.find_one({"subscription": subscription}, {"number": 1}, sort=[("number", 1)])
        return None if oldest is None else int(oldest["number"])

    # --- Delivery ------------------------------------------------------------------------------------------------

    async def claim(self, worker: str, but: Iterable[str] = (), but_clients: Iterable[str] = ()) -> State | None:
        """Return the subscription that has waited longest for something to be delivered, for this worker alone.

        `but` are ids of subscriptions that are none of them, `but_clients` those of clients that wrote such.
        """
        now = datetime.now(UTC)
        waiting: Document = {"due": {"$lte": now}, "until": {"$lte": now}, "_id": {"$nin": list(but)}}
        if clients := list(but_clients):
            waiting["subscriber.token.client"] = {"$nin": clients}
        holding = {"holder": worker, "until": now + timedelta(seconds=LEASE_SECONDS)}
        with translated:
            document = await self._states.find_one_and_update(
                waiting, {"$set": holding}, sort=[("due", 1)], return_document=ReturnDocument.AFTER
            )
        return None if document is None else _state(document)

    async def delivered_to(self, state: State, worker: str, number: int, entry: Mapping[str, Any]) -> State | None:
        """Note that events were delivered up to a number, and hold the subscription for another while.

        Returns how it stands, or None where the worker has lost it.
        """
        now = datetime.now(UTC)
        noted: Document = {"delivered": number, "attempts": 0, "failing": None, "beaten": now}
        change: Document = {
            "$set": {**noted, "until": now + timedelta(seconds=LEASE_SECONDS)},
            "$push": {"log": {"$each": [dict(entry)], "$slice": -_LOGGED}},
        }
        with translated:
            document = await self._states.find_one_and_update(
                {"_id": state.id, "holder": worker}, change, return_document=ReturnDocument.AFTER
            )
        return None if document is None else _state(document)

    async def received(self, subscription: str, number: int) -> None:
        """Note that a socket has taken the events up to a number."""
        with translated:
            await self._states.update_one({"_id": subscription}, {"$max": {"delivered": number}})

    async def last_of(self, subscriptions: Iterable[str]) -> dict[str, int]:
        """Return the number of the latest event of each of the subscriptions."""
        with translated:
            documents = await self._states.find({"_id": {"$in": list(subscriptions)}}, {"last": 1}).to_list()
        return {document["_id"]: document["last"] for document in documents}

    async def failed(self, state: State, worker: str, pause: float, entry: Mapping[str, Any] | None) -> None:
        """Note that a delivery failed, and let it be tried again after a pause of about so many seconds.

        Without an `entry` it was not tried: nothing is said of the receiver.
        """
        now = datetime.now(UTC)
        later = now + timedelta(seconds=pause * random.uniform(0.75, 1.25))  # noqa: S311 - not a secret
        change: Document = {"$set": {"due": later, "holder": "", "until": _NEVER}}
        if entry is not None:
            change["$set"] |= {"attempts": state.attempts + 1, "failing": state.failing or now}
            change["$push"] = {"log": {"$each": [dict(entry)], "$slice": -_LOGGED}}
        with translated:
            await self._states.update_one({"_id": state.id, "holder": worker}, change)

    async def release(self, state: State, worker: str, due: datetime | None, *, waiting: bool = True) -> None:
        """Let the subscription go; it is due again then, or at once where events have come meanwhile.

        Not `waiting` says that it is not for this worker to deliver them.
        """
        free: Document = {"holder": "", "until": _NEVER}
        quiet: Document = {"$set": free, "$unset": {"due": ""}} if due is None else {"$set": {**free, "due": due}}
        now = datetime.now(UTC)
        mine: Document = {"_id": state.id, "holder": worker}
        with translated:
            last = state.delivered if waiting else state.last
            unchanged = {**mine, "version": state.version, "last": {"$lte": last}}
            changed = await self._states.update_one(unchanged, quiet)
            if changed.matched_count == 0:
                live = {**mine, "status": {"$in": LIVE}}
                changed = await self._states.update_one(live, {"$set": {**free, "due": now}})
            if changed.matched_count == 0:
                await self._states.update_one(mine, {"$set": free})

    async def let_go(self, worker: str) -> None:
        """Let everything go that a worker has, so that others need not wait for its leases to end."""
        with translated:
            await self._states.update_many({"holder": worker}, {"$set": {"holder": "", "until": _NEVER}})


def _first(state: State) -> Document:
    begun: Document = {"attempts": 0, "failing": None, "holder": "", "until": _NEVER}
    begun |= {"position": state.position, "since": state.since}
    return {
        "last": 0,
        "delivered": 0,
        **({} if state.status == "requested" else begun),
        "beaten": None,
        "log": [],
    }


def _state(document: Document) -> State:
    return msgspec.convert({**document, "id": document["_id"]}, State, builtin_types=(datetime, bytes))


def _event_document(event: Event, expires: datetime) -> Document:
    document: Document = msgspec.to_builtins(event, builtin_types=(datetime,))
    return {**document, "key": event.key, "expires": expires}


def _event(document: Document) -> Event:
    return msgspec.convert(document, Event, builtin_types=(datetime,))
