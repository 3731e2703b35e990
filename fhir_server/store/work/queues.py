"""What waits in the server's queues: how much, and for how long the oldest has been waiting."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fhir_server.store.database.mongo import Database, translated
from fhir_server.store.work import async_requests, erasures, exports, mail_queue, subscriptions


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue; `oldest` in seconds, 0 for an empty one."""

    name: str
    waiting: int
    oldest: float


async def queues(database: Database) -> list[Queue]:
    """Return how the queues stand."""
    now = datetime.now(UTC)
    due: dict[str, Any] = {"due": {"$lte": now}}
    unfinished: dict[str, Any] = {"finished": None}
    conditions = {
        "mail": (mail_queue.COLLECTION, due, "due"),
        "exports": (exports.EXPORTS, unfinished, "created"),
        "async-requests": (async_requests.REQUESTS, unfinished, "created"),
        "erasures": (erasures.COLLECTION, unfinished, "asked"),
    }
    return [await _queue(database, name, now, *where) for name, where in conditions.items()] + [
        await _subscriptions(database, now)
    ]


async def _subscriptions(database: Database, now: datetime) -> Queue:
    """Return how many events wait for the receivers of subscriptions, and for how long the oldest delivery fails."""
    behind: dict[str, Any] = {"status": {"$in": subscriptions.LIVE}, "$expr": {"$gt": ["$last", "$delivered"]}}
    summed = {"_id": None, "waiting": {"$sum": {"$subtract": ["$last", "$delivered"]}}, "oldest": {"$min": "$failing"}}
    with translated:
        cursor = await database.collection(subscriptions.STATES).aggregate([{"$match": behind}, {"$group": summed}])
        sums = await cursor.to_list()
    if not sums:
        return Queue("subscriptions", 0, 0.0)
    oldest = sums[0]["oldest"]
    return Queue("subscriptions", sums[0]["waiting"], max(0.0, (now - oldest).total_seconds()) if oldest else 0.0)


async def _queue(database: Database, name: str, now: datetime, *where: Any) -> Queue:
    collection, which, since = where
    pipeline = [{"$match": which}, {"$group": {"_id": None, "waiting": {"$sum": 1}, "oldest": {"$min": f"${since}"}}}]
    with translated:
        groups = await (await database.collection(collection).aggregate(pipeline)).to_list()
    if not groups:
        return Queue(name, 0, 0.0)
    oldest = groups[0]["oldest"]
    return Queue(name, groups[0]["waiting"], max(0.0, (now - oldest).total_seconds()) if oldest else 0.0)
