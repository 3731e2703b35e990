"""How many versions a history has, over all its pages.

Counted on the index by time, 0.25 us a version. A version that stands as the current one and as an earlier one (while
an update is under way, or since one failed midway) counts once where the versions are few enough to be looked at one by
one; among more than those it may count twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from fhir_server.store.database.encoding import Document
from fhir_server.store.database.failures import translated
from fhir_server.store.database.mongo import Database
from fhir_server.store.database.snapshots import read_snapshot
from fhir_server.store.database.time_limit import limited
from fhir_server.store.resources.history_parts import Part

FEW = 1000
_VERSION: Document = {"_id": 0, "type": 1, "id": 1, "version": 1, "updated": 1}


async def count_versions(database: Database, parts: list[Part], *, current_at: datetime | None) -> int:
    """Return how many versions the parts hold; `current_at` leaves out those that others had replaced by that time."""
    if current_at is None:
        counts = await _union(database, (stage for part in parts for stage in part.counts()), [])
        number: int = sum(each["n"] for each in counts)
        if number > FEW:
            return number
    once: list[Document] = [
        {"$group": {"_id": {"type": "$type", "id": "$id", "version": "$version"}, "updated": {"$first": "$updated"}}},
        *([] if current_at is None else _current(current_at)),
        {"$count": "n"},
    ]
    versions = (stage for part in parts for stage in part.all(_VERSION))
    return sum(each["n"] for each in await _union(database, versions, once))


def _current(time: datetime) -> list[Document]:
    """Return the stages that keep the versions that were current at the time, or came later."""
    follower: Document = {
        "partitionBy": {"type": "$_id.type", "id": "$_id.id"},
        "sortBy": {"_id.version": 1},
        "output": {"next": {"$shift": {"output": "$updated", "by": 1}}},
    }
    kept = [{"updated": {"$gte": time}}, {"next": None}, {"next": {"$gt": time}}]
    return [{"$setWindowFields": follower}, {"$match": {"$or": kept}}]


async def _union(database: Database, added: Iterable[Document], stages: list[Document]) -> list[Document]:
    """Return what the stages make of all that is added, read at one moment."""
    pipeline: list[Document] = [{"$documents": []}, *added, *stages]
    command: Document = {"aggregate": 1, "pipeline": pipeline, "cursor": {}, "allowDiskUse": True}
    with translated, limited() as limit:
        answer = await read_snapshot(database, command | limit)
    found: list[Document] = answer["cursor"]["firstBatch"]
    return found
