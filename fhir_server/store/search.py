"""Runs compiled searches on the key index: pages, counts and ids. What a plan means is in `search.query`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from bson.max_key import MaxKey

from fhir_server.search.query import Plan, Segment, TypePlan, within
from fhir_server.search.scans import Equal, Ids, UpdatedWalk, Walk
from fhir_server.store.blobs import BlobStore
from fhir_server.store.encoding import Document
from fhir_server.store.failures import translated
from fhir_server.store.mongo import Collection, Database, Session

Cursor: TypeAlias = list[Any]
"""Where a page ended: plain data, to be sealed into a link. The type's place in the plan, the segment's, and the last
row's position there.
"""

_ROW = {"version": 1, "updated": 1, "json": 1, "blob": 1}
_KEYS = [("keys", 1), ("_id", 1)]


@dataclass(frozen=True, slots=True)
class Row:
    """A resource that a search has found, with the bytes that a read of it sends."""

    type: str
    id: str
    version: int
    updated: datetime
    json: bytes


@dataclass(frozen=True, slots=True)
class Page:
    """Rows, and the cursor from which the next page continues; None where there are no more."""

    rows: list[Row]
    next: Cursor | None


class SearchStore:
    """Finds current resources by plans of `search.query`."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.blobs = BlobStore(database)

    async def page(
        self, plan: Plan, *, limit: int, cursor: Cursor | None = None, session: Session | None = None
    ) -> Page:
        """Return the next `limit` rows of a plan after the cursor."""
        rows: list[Row] = []
        ends: list[Cursor] = []
        async for place, found in self._documents(plan, limit + 1, cursor, _ROW, session):
            ends.append(place)
            if len(ends) <= limit:
                rows.append(await self._row(plan.types[place[0]].type, found))
        return Page(rows, ends[limit - 1] if len(ends) > limit > 0 else None)

    async def ids(self, plan: Plan, limit: int, session: Session | None = None) -> list[str]:
        """Return the ids of the first `limit` rows of a plan."""
        return [found["_id"] async for _, found in self._documents(plan, limit, None, {"_id": 1}, session)]

    async def count(self, plan: Plan, session: Session | None = None) -> int:
        """Return how many resources meet a plan."""
        total = 0
        for each in plan.types:
            pipeline = [*_collecting(each), {"$count": "total"}]
            with translated:
                cursor = await self.database.current(each.type).aggregate(pipeline, session=session)
                total += sum([found["total"] async for found in cursor])
        return total

    async def _documents(
        self, plan: Plan, limit: int, cursor: Cursor | None, fields: Document, session: Session | None
    ) -> AsyncIterator[tuple[Cursor, Document]]:
        """Yield rows with the cursor after each, reading on through types and segments until there are `limit`."""
        first, segment, position = cursor or (0, 0, None)
        left = limit
        for number in range(first, len(plan.types)):
            each = plan.types[number]
            collection = self.database.current(each.type)
            for part in range(segment, 1 if each.sort else len(each.segments)):
                if left <= 0:
                    return
                documents = await _run(collection, each, part, position, left, fields, session)
                left -= len(documents)
                for document in documents:
                    yield [number, part, _position(each, part, document)], document
                position = None
            segment, position = 0, None

    async def _row(self, resource_type: str, found: Document) -> Row:
        data = found["json"] if "json" in found else await self.blobs.read(found["blob"])
        return Row(resource_type, found["_id"], found["version"], found["updated"], data)


# --- One stretch -------------------------------------------------------------------------------------------------


async def _run(
    collection: Collection,
    plan: TypePlan,
    part: int,
    after: Any,
    limit: int,
    fields: Document,
    session: Session | None,
) -> list[Document]:
    if plan.sort:
        return await _aggregate(collection, _sorting(plan, after, limit, fields), session)
    segment = plan.segments[part]
    if segment.stages:
        return await _aggregate(collection, _joining(segment, after, limit, fields), session)
    match segment.scan:
        case Walk() | Equal((_,)):
            return await _bounded(collection, segment, after, limit, fields, session)
        case UpdatedWalk():
            return await _by_time(collection, segment, after, limit, fields, session)
    wanted: Document = {"$and": [within(segment.scan), segment.filter]}
    if after is not None:
        wanted["_id"] = {"$gt": after}
    hint = "_id_" if isinstance(segment.scan, Ids) else "keys"
    with translated:
        return await collection.find(wanted, fields, session=session).sort("_id", 1).limit(limit).hint(hint).to_list()


async def _bounded(
    collection: Collection, segment: Segment, after: Any, limit: int, fields: Document, session: Session | None
) -> list[Document]:
    """Read a stretch of the key index; its bounds are given outright, so that the planner has nothing to choose."""
    low, high, wanted = _bounds(segment, after)
    if isinstance(segment.scan, Walk):
        fields = {**fields, "at": {"$meta": "indexKey"}}
    with translated:
        cursor = collection.find(wanted, fields, session=session).hint(_KEYS).min(low).max(high).limit(limit)
        return await cursor.to_list()


def _bounds(segment: Segment, after: Any) -> tuple[Any, Any, Document]:
    if isinstance(segment.scan, Equal):
        key = segment.scan.keys[0]
        low = [("keys", key), ("_id", after if after is not None else "")]
        wanted = segment.filter if after is None else {"$and": [segment.filter, {"_id": {"$gt": after}}]}
        return low, [("keys", key), ("_id", MaxKey())], wanted
    assert isinstance(segment.scan, Walk)
    low_key, resource_id = after if after is not None else (segment.scan.low, "")
    wanted = segment.filter if after is None else {"$and": [segment.filter, _unread(segment.scan, after)]}
    return [("keys", low_key), ("_id", resource_id)], [("keys", segment.scan.high), ("_id", "")], wanted


def _unread(scan: Walk, after: Sequence[str]) -> Document:
    """Return the filter of documents that a walk has not met before `after`: it meets each at the first of its keys."""
    key, resource_id = after
    met = {"keys": {"$elemMatch": {"$gte": scan.low, "$lt": key}}}
    return {"$nor": [met, {"keys": key, "_id": {"$lte": resource_id}}]}


async def _by_time(
    collection: Collection, segment: Segment, after: Any, limit: int, fields: Document, session: Session | None
) -> list[Document]:
    assert isinstance(segment.scan, UpdatedWalk)
    descending = segment.scan.descending
    wanted: Document = {"$and": [within(segment.scan), segment.filter]}
    if after is not None:
        time, resource_id = after
        # The index is by falling time and rising id; read backwards it is the other way round.
        later, further = ("$lt", "$gt") if descending else ("$gt", "$lt")
        beyond = [{"updated": {later: time}}, {"updated": time, "_id": {further: resource_id}}]
        wanted["$and"] += [{"updated": {f"{later}e": time}}, {"$or": beyond}]
    order = [("updated", -1), ("_id", 1)] if descending else [("updated", 1), ("_id", -1)]
    with translated:
        found = collection.find(wanted, {**fields, "updated": 1}, session=session)
        return await found.sort(order).limit(limit).hint("updated").to_list()


async def _aggregate(collection: Collection, pipeline: list[Document], session: Session | None) -> list[Document]:
    with translated:
        cursor = await collection.aggregate(pipeline, session=session, allowDiskUse=session is None)
        return [found async for found in cursor]


def _joining(segment: Segment, after: Any, limit: int, fields: Document) -> list[Document]:
    """Return the pipeline of a stretch whose filter needs other resources, in the order of `_id`."""
    wanted: list[Document] = [within(segment.scan)]
    if after is not None:
        wanted.append({"_id": {"$gt": after}})
    return [
        {"$match": {"$and": wanted}},
        {"$sort": {"_id": 1}},
        *segment.stages,
        {"$match": segment.filter},
        {"$limit": limit},
        {"$project": fields},
    ]


def _collecting(plan: TypePlan) -> list[Document]:
    """Return the stages that leave all matches of a plan, in no order."""
    if not plan.segments:
        return [{"$match": {"_id": {"$in": []}}}]
    segment = plan.segments[0]
    reads = [within(each.scan) for each in plan.segments]
    return [{"$match": {"$or": reads} if len(reads) > 1 else reads[0]}, *segment.stages, {"$match": segment.filter}]


def _sorting(plan: TypePlan, after: Any, limit: int, fields: Document) -> list[Document]:
    """Return the pipeline that collects all matches and keeps the first by the plan's sort keys; what has no value is
    last.
    """
    names = [f"_sort{number}" for number in range(len(plan.sort))]
    values: Document = {name: {"$ifNull": [key.expression, None]} for name, key in zip(names, plan.sort, strict=True)}
    absent = {f"{name}_absent": {"$eq": [f"${name}", None]} for name in names}
    order: Document = {}
    for name, key in zip(names, plan.sort, strict=True):
        order |= {f"{name}_absent": 1, name: -1 if key.descending else 1}
    kept = {**fields, **dict.fromkeys(values, 1), **dict.fromkeys(absent, 1)}
    return [
        *_collecting(plan),
        {"$set": values},
        {"$set": absent},
        *([{"$match": _beyond(plan, names, after)}] if after is not None else []),
        {"$project": kept},
        {"$sort": order | {"_id": 1}},
        {"$limit": limit},
    ]


def _beyond(plan: TypePlan, names: list[str], after: Any) -> Document:
    """Return the filter of rows that sort after a row with these values and id."""
    *last, resource_id = after
    branches: list[Document] = []
    equal: list[Document] = []
    for name, key, value in zip(names, plan.sort, last, strict=True):
        if value is None:
            equal.append({f"{name}_absent": True})
            continue
        further = {name: {"$lt" if key.descending else "$gt": value}}
        branches += [{"$and": [*equal, further]}, {"$and": [*equal, {f"{name}_absent": True}]}]
        equal.append({name: value})
    return {"$or": [*branches, {"$and": [*equal, {"_id": {"$gt": resource_id}}]}]}


def _position(plan: TypePlan, part: int, document: Document) -> Any:
    """Return the place of a row within its stretch."""
    if plan.sort:
        return [*(document[f"_sort{number}"] for number in range(len(plan.sort))), document["_id"]]
    segment = plan.segments[part]
    match segment.scan:
        case Walk() if not segment.stages:
            return [document["at"]["keys"], document["_id"]]
        case UpdatedWalk() if not segment.stages:
            return [document["updated"], document["_id"]]
    return document["_id"]
