"""The resources of a type as they were at a moment, in the order of ids, read while others go on writing.

What has changed since the moment is read from the history. So nothing is missed and nothing comes twice, provided that
every write stamped with that moment or an earlier one has ended before the first read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from fhir_server.search.index.keys import EVERY
from fhir_server.search.planner.filters import everyone, to_filter
from fhir_server.search.planner.joins import Access
from fhir_server.search.planner.query import DocumentFilter, document_filter
from fhir_server.search.query.conditions import EVERYTHING, Condition
from fhir_server.store.database.encoding import Document
from fhir_server.store.database.failures import translated
from fhir_server.store.resources.documents import PROJECTION
from fhir_server.store.resources.resources import ResourceStore, Version

MOST_BYTES = 8 * 1024 * 1024
"""A slice ends with the resource that reaches this."""
_HEAD: Document = {"version": 1, "updated": 1, "method": 1}


@dataclass(frozen=True)
class Selection:
    """Which resources of a type are wanted: those that meet a condition and that `access` lets the caller see.

    `since` leaves out what was last changed before, but for what meets `always`. `own_keys` are beginnings of index
    keys that are returned with each resource. `by_keys`: few have the keys that the condition asks for, so it is those
    that are read, and not all of the type in order.
    """

    type: str
    condition: Condition = EVERYTHING
    access: Access = everyone
    since: datetime | None = None
    always: Condition | None = None
    until: datetime | None = None
    own_keys: tuple[str, ...] = ()
    by_keys: bool = False

    @cached_property
    def documents(self) -> DocumentFilter:
        """Its filter, in the shape of current documents."""
        return document_filter(self.type, self.condition, self.access)


@dataclass(frozen=True, slots=True)
class PastResource:
    """A resource as it was at the moment, with those of its index keys that the selection asks for."""

    version: Version
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Slice:
    """The next resources, those of them that were deleted, and the last id that was looked at; None at the end."""

    resources: list[PastResource]
    deleted: list[PastResource]
    last: str | None


async def slice_after(
    resources: ResourceStore, selection: Selection, moment: datetime, after: str, limit: int
) -> Slice:
    """Return the wanted resources with the next ids after `after`, as of the moment.

    Where `since` is set, what was deleted between the two is returned too, each as it last was.
    """
    current = await _current(resources, selection, moment, after, limit)
    last = current[-1].version.id if len(current) >= limit or _bytes(current) >= MOST_BYTES else None
    span: Document = {"$gt": after, **({"$lte": last} if last is not None else {})}
    seen = {each.version.id for each in current}
    names, tombstones = await _changed(resources, selection, moment, span, seen)
    earlier = [each async for each in _earlier(resources, selection, names, _since(selection))]
    earlier = [each for each in earlier if _is_in_time(selection, each.version.updated)]
    if selection.since is not None:
        tombstones.update(await _deleted(resources, selection, moment, span))
    deleted = [each async for each in _earlier(resources, selection, tombstones, [])]
    return Slice(sorted([*current, *earlier], key=lambda each: each.version.id), deleted, last)


def _bytes(rows: Iterable[PastResource]) -> int:
    return sum(len(each.version.json) for each in rows)


def _is_in_time(selection: Selection, updated: datetime) -> bool:
    return selection.until is None or updated <= selection.until


async def _current(
    resources: ResourceStore, selection: Selection, moment: datetime, after: str, limit: int
) -> list[PastResource]:
    """Return the next resources that have not changed since the moment."""
    latest = moment if selection.until is None else min(moment, selection.until)
    own: list[Mapping[str, Any]] = [{"_id": {"$gt": after}}, {"updated": {"$lte": latest}}, {"keys": EVERY}]
    own += _since(selection)
    pipeline: list[Document] = [
        {"$match": {"$and": own if selection.documents.stages else [*own, selection.documents.filter]}},
        {"$sort": {"_id": 1}},
    ]
    pipeline += _joined(selection)
    pipeline += [{"$limit": limit}, {"$project": _shown(selection)}]
    options: dict[str, Any] = {"allowDiskUse": True} | (
        {} if selection.since else {"hint": "keys" if selection.by_keys else "_id_"}
    )
    rows: list[PastResource] = []
    size = 0
    with translated:
        cursor = await resources.database.current(selection.type).aggregate(pipeline, **options)
        async with cursor:
            async for document in cursor:
                rows.append(await _past_resource(resources, selection, document))
                size += len(rows[-1].version.json)
                if size >= MOST_BYTES:
                    break
    return rows


def _since(selection: Selection) -> list[Document]:
    if selection.since is None:
        return []
    changed: Document = {"updated": {"$gt": selection.since}}
    return [changed if selection.always is None else {"$or": [changed, to_filter(selection.always)]}]


def _joined(selection: Selection) -> list[Document]:
    documents = selection.documents
    return [*documents.stages, {"$match": documents.filter}] if documents.stages else []


def _shown(selection: Selection) -> Document:
    if not selection.own_keys:
        return PROJECTION
    begins = [{"$eq": [{"$substrCP": ["$$this", 0, len(begin)]}, begin]} for begin in selection.own_keys]
    own = {"$filter": {"input": {"$ifNull": ["$keys", []]}, "cond": {"$or": begins}}}
    return {**PROJECTION, "keys": own}


async def _changed(
    resources: ResourceStore, selection: Selection, moment: datetime, span: Document, seen: set[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return, for what has changed since the moment, where the versions of that moment stand in the history, by id.

    The second: the last versions of what was deleted at that moment, where deletions are asked for.
    """
    changed: Document = {"_id": span, "updated": {"$gt": moment}}
    with translated:
        documents = await resources.database.current(selection.type).find(changed, {"_id": 1}).to_list()
    ids = [document["_id"] for document in documents if document["_id"] not in seen]
    names: dict[str, str] = {}
    tombstones: dict[str, str] = {}
    for some in _parts(ids, 1000):
        async for head in _heads(resources, selection.type, some, moment):
            if head["method"] != "DELETE":
                names[head["_id"]] = f"{head['_id']}/{head['version']}"
            elif selection.since is not None and head["updated"] > selection.since:
                tombstones[head["_id"]] = f"{head['_id']}/{head['version'] - 1}"
    return names, tombstones


def _parts(ids: Sequence[str], size: int) -> Iterable[Sequence[str]]:
    return (ids[start : start + size] for start in range(0, len(ids), size))


async def _heads(
    resources: ResourceStore, resource_type: str, ids: Sequence[str], moment: datetime
) -> AsyncIterator[Document]:
    """Yield the last version that each resource had at the moment, without its content."""
    pipeline: list[Document] = [
        {"$match": {"id": {"$in": list(ids)}, "updated": {"$lte": moment}}},
        {"$sort": {"id": 1, "version": -1}},
        {"$group": {"_id": "$id", **{name: {"$first": f"${name}"} for name in _HEAD}}},
    ]
    with translated:
        cursor = await resources.database.history(resource_type).aggregate(pipeline)
        async for head in cursor:
            yield head


async def _deleted(resources: ResourceStore, selection: Selection, moment: datetime, span: Document) -> dict[str, str]:
    """Return where the last versions stand of what was deleted before the moment, and is still."""
    assert selection.since is not None, "deletions are asked for since a time"
    gone: Document = {"_id": span, "method": "DELETE", "updated": {"$gt": selection.since, "$lte": moment}}
    with translated:
        documents = await resources.database.current(selection.type).find(gone, {"version": 1}).to_list()
    return {each["_id"]: f"{each['_id']}/{each['version'] - 1}" for each in documents}


async def _earlier(
    resources: ResourceStore, selection: Selection, names: Mapping[str, str], changed: Sequence[Document]
) -> AsyncIterator[PastResource]:
    """Yield the versions with these names in the history that are wanted, and meet the conditions on their change."""
    history = resources.database.history(selection.type)
    for some in _parts(list(names.values()), 500):
        pipeline: list[Any] = [
            {"$match": {"_id": {"$in": list(some)}}},
            # As the documents of current versions are, which the filter is made for.
            {"$set": {"_id": "$id"}},
            *selection.documents.stages,
            {"$match": {"$and": [selection.documents.filter, *changed]}},
            {"$project": _shown(selection)},
        ]
        with translated:
            cursor = await history.aggregate(pipeline)
            async for document in cursor:
                yield await _past_resource(resources, selection, document)


async def _past_resource(resources: ResourceStore, selection: Selection, document: Document) -> PastResource:
    version = await resources.version(selection.type, document["_id"], document)
    return PastResource(version, tuple(document.get("keys", ())))
