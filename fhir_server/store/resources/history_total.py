"""How many versions a history has, over all its pages.

Counted on the index by time, 0.25 us a version, or, where there are many, by what the database keeps of the size of its
collections. A version that stands as the current one and as an earlier one (while an update is under way, or since one
failed midway) counts once where the versions are few enough to be looked at one by one; among more than those it may
count twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from fhir_server.store.database.encoding import Document
from fhir_server.store.database.failures import translated
from fhir_server.store.database.mongo import Database
from fhir_server.store.database.snapshots import read_snapshot
from fhir_server.store.database.time_limit import limited
from fhir_server.store.resources.history_parts import Part

FEW = 1000
MANY = 10_000
"""Versions that are counted on the index rather than told from the sizes of the collections."""
MOST = 100_000
"""Versions that are counted on the index, where nobody asked for the number alone: 25 ms."""
_BATCH = 1000
"""Above two rows for each type there is."""
_VERSION: Document = {"_id": 0, "type": 1, "id": 1, "version": 1, "updated": 1}


async def count_versions(
    database: Database, parts: list[Part], *, current_at: datetime | None, exact: bool = True
) -> int | None:
    """Return how many versions the parts hold; `current_at` leaves out those that others had replaced by that time.

    None where counting takes long, unless `exact`.
    """
    if current_at is None or not exact:
        # Each version that is looked at costs much more than to count it.
        number = await _number(database, parts, None if exact else MOST if current_at is None else MANY)
        if number is None or (number > FEW and current_at is None):
            return number
    once: list[Document] = [
        {"$group": {"_id": {"type": "$type", "id": "$id", "version": "$version"}, "updated": {"$first": "$updated"}}},
        *([] if current_at is None else _current(current_at)),
        {"$count": "n"},
    ]
    versions = (stage for part in parts for stage in part.all(_VERSION))
    return sum(int(each["n"]) for each in await _union(database, versions, once))


async def _number(database: Database, parts: Sequence[Part], most: int | None) -> int | None:
    """Return the number of versions, those that stand twice counted twice; None where it is above `most` and nothing
    tells it but the index.
    """
    if any(part.where is not None or part.id is not None for part in parts):
        return await _counted(database, parts, None)
    counted = await _counted(database, parts, MANY)
    if counted is not None or (most is not None and most <= MANY):
        return counted
    # What is not of the history is little, most often: what came after its newest version, or before its oldest.
    later = await _counted(database, _outside(parts, later=True), MANY)
    earlier = await _counted(database, _outside(parts, later=False), MANY)
    if later is None or earlier is None:
        return await _counted(database, parts, most)
    sizes = await _sizes(database, parts)
    return sizes - later - earlier


async def _sizes(database: Database, parts: Sequence[Part]) -> int:
    """Return how many versions the database says that there are, without counting."""
    pipeline: list[Document] = [{"$documents": []}, *(each for part in parts for each in part.sizes())]
    command: Document = {"aggregate": 1, "pipeline": pipeline, "cursor": {"batchSize": _BATCH}}
    with translated, limited() as limit:
        # Of no moment in particular, which a snapshot would be.
        answer = await database.command(command | limit)
    return sum(int(each["count"]) for each in answer["cursor"]["firstBatch"])


def _outside(parts: Sequence[Part], *, later: bool) -> list[Part]:
    """Return the versions that were stored after the parts end, or before they begin."""
    if later:
        return [replace(part, since=None, until=None, after=part.until) for part in parts if part.until is not None]
    return [replace(part, since=None, until=None, before=part.since) for part in parts if part.since is not None]


async def _counted(database: Database, parts: Sequence[Part], most: int | None) -> int | None:
    """Return the number of versions that the index has, None where there are more than `most`."""
    limit = None if most is None else most + 1
    counts = await _union(database, (stage for part in parts for stage in part.counts(limit)))
    number: int = sum(each["n"] for each in counts)
    return number if most is None or number <= most else None


def _current(time: datetime) -> list[Document]:
    """Return the stages that keep the versions that were current at the time, or came later."""
    follower: Document = {
        "partitionBy": {"type": "$_id.type", "id": "$_id.id"},
        "sortBy": {"_id.version": 1},
        "output": {"next": {"$shift": {"output": "$updated", "by": 1}}},
    }
    kept = [{"updated": {"$gte": time}}, {"next": None}, {"next": {"$gt": time}}]
    return [{"$setWindowFields": follower}, {"$match": {"$or": kept}}]


async def _union(database: Database, added: Iterable[Document], stages: Sequence[Document] = ()) -> list[Document]:
    """Return what the stages make of all that is added, read at one moment."""
    pipeline: list[Document] = [{"$documents": []}, *added, *stages]
    command: Document = {"aggregate": 1, "pipeline": pipeline, "cursor": {"batchSize": _BATCH}, "allowDiskUse": True}
    with translated, limited() as limit:
        answer = await read_snapshot(database, command | limit)
    documents: list[Document] = answer["cursor"]["firstBatch"]
    return documents
