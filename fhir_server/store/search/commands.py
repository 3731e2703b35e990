"""Plans of `search.query` as MongoDB commands: reading a stretch of an index, or collecting, sorting and cutting.

Every command can be resumed after a row's position: for rows by `_id` that is the id, else what they are ordered by
and the id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bson.max_key import MaxKey

from fhir_server.search.planner.counts import RangeCount, covered
from fhir_server.search.planner.filters import shape_test
from fhir_server.search.planner.inside import PATH, Source, Start
from fhir_server.search.planner.query import TypePlan
from fhir_server.search.planner.scans import Collected, Equal, Ids, KeyRange, PresenceScan, Scan, UpdatedWalk, within
from fhir_server.search.planner.sorting import SortField
from fhir_server.store.database.encoding import Document

_KEYS: Document = {"keys": 1, "_id": 1}
_SHAPES = 1_000_000
AT = "_at"
"""The field of a row that says at which key, or with which sort values, it stands."""


# --- Stretches of an index ---------------------------------------------------------------------------------------


def stretch(  # noqa: PLR0917 - a read and where it goes on
    plan: TypePlan, scans: Sequence[Scan], part: int, after: Any, limit: int, fields: Document
) -> Document:
    """Return the command that reads the next matches of one scan, without those that the scans before it have read."""
    scan = scans[part]
    filters = [plan.filter, *({"$nor": [within(each)]} for each in scans[:part])]
    if isinstance(scan, Collected):
        both = replace(plan, filter={"$and": [*filters, within(scan.among)]})
        return collect(both, scan.read, after, limit, fields)
    if isinstance(scan, PresenceScan):
        return _shaped(plan, scan, filters, after, limit, fields)
    if plan.stages:
        return _joined(plan, scan, filters, after, limit, fields)
    find = {"find": plan.collection, "projection": fields, "limit": limit, "batchSize": limit + 1}
    match scan:
        case KeyRange():
            return find | _walk(scan, filters, after) | {"projection": {**fields, AT: {"$meta": "indexKey"}}}
        case Equal((key,)):
            return find | _equal(key, filters, after)
        case UpdatedWalk():
            return find | _by_time(scan, filters, after)
    beyond = [{"_id": {"$gt": after}}] if after is not None else []
    hint = "_id_" if isinstance(scan, Ids) else "keys"
    return find | {
        "filter": {"$and": [within(scan), *beyond, without_bounds(filters)]},
        "sort": {"_id": 1},
        "hint": hint,
    }


def without_bounds(filters: list[Document]) -> Document:
    """Return the filter in a form that the planner takes no index bounds from: those are chosen already."""
    return {"$nor": [{"$nor": [{"$and": filters}]}]}


def _walk(scan: KeyRange, filters: list[Document], after: Any) -> Document:
    # The bounds are given outright, so that the planner has nothing to choose, and rows come in the order of the index.
    key, resource_id = after if after is not None else (scan.low, "")
    unread = [_unread(scan, after)] if after is not None else []
    return {
        "filter": {"$and": [*filters, *unread]},
        "hint": _KEYS,
        "min": {"keys": key, "_id": resource_id},
        "max": {"keys": scan.high, "_id": ""},
    }


def _equal(key: str, filters: list[Document], after: Any) -> Document:
    beyond = [{"_id": {"$gt": after}}] if after is not None else []
    return {
        "filter": {"$and": [*filters, *beyond]},
        "hint": _KEYS,
        "min": {"keys": key, "_id": after if after is not None else ""},
        "max": {"keys": key, "_id": MaxKey()},
    }


def _unread(scan: KeyRange, after: Sequence[str]) -> Document:
    """Return the filter of documents that a walk has not met before: it meets each at the first of its keys."""
    key, resource_id = after
    met = {"keys": {"$elemMatch": {"$gte": scan.low, "$lt": key}}}
    return {"$nor": [met, {"keys": key, "_id": {"$lte": resource_id}}]}


def _by_time(scan: UpdatedWalk, tests: list[Document], after: Any) -> Document:
    # The index is by falling time and rising id; read backwards it is the other way round.
    later, further, order = ("$lt", "$gt", -1) if scan.descending else ("$gt", "$lt", 1)
    filters = [within(scan), *tests]
    if after is not None:
        time, resource_id = after
        filters.append({"updated": {f"{later}e": time}})
        filters.append({"$or": [{"updated": {later: time}}, {"_id": {further: resource_id}}]})
    return {"filter": {"$and": filters}, "sort": {"updated": order, "_id": -order}, "hint": "updated"}


def _joined(  # noqa: PLR0917 - a read and where it goes on
    plan: TypePlan, scan: Scan, filters: list[Document], after: Any, limit: int, fields: Document
) -> Document:
    """Return the command for a filter that needs other resources, in the order of the scan."""
    read, order = [within(scan)], {"_id": 1}
    at: Document = {}
    if isinstance(scan, KeyRange):
        mine = {"$and": [{"$gte": ["$$this", scan.low]}, {"$lt": ["$$this", scan.high]}]}
        at = {AT: {"keys": {"$min": {"$filter": {"input": "$keys", "as": "this", "cond": mine}}}}}
        order = {f"{AT}.keys": 1, "_id": 1}
        if after is not None:
            read = [{"keys": {"$elemMatch": {"$gte": after[0], "$lt": scan.high}}}, _unread(scan, after)]
    elif isinstance(scan, UpdatedWalk):
        timed = _by_time(scan, [], after)
        read, order = [timed["filter"]], timed["sort"]
    elif after is not None:
        read.append({"_id": {"$gt": after}})
    stages: list[Document] = [{"$match": {"$and": read}}, *([{"$set": at}] if at else []), {"$sort": order}]
    end: list[Document] = [
        {"$match": without_bounds(filters)},
        {"$limit": limit},
        {"$project": {**fields, **dict.fromkeys(at, 1)}},
    ]
    return aggregate(plan.collection, [*stages, *plan.stages, *end], limit)


def _shaped(  # noqa: PLR0917 - a read and where it goes on
    plan: TypePlan, scan: PresenceScan, filters: list[Document], after: Any, limit: int, fields: Document
) -> Document:
    """Return the command that finds the few shapes with, or without, the parameter, then the documents of those."""
    beyond = [{"_id": {"$gt": after}}] if after is not None else []
    keep: list[Document] = [
        {"$match": {"$and": beyond}} if beyond else {"$match": {}},
        {"$sort": {"_id": 1}},
        *plan.stages,
        {"$match": without_bounds(filters)},
        {"$limit": limit},
        {"$project": fields},
    ]
    look_up = {"from": plan.collection, "localField": "_id", "foreignField": "shape", "pipeline": keep, "as": "row"}
    stages: list[Document] = [
        {"$group": {"_id": "$shape"}},
        # Keeps the match from being moved before the group, which then would read every document, not every shape.
        {"$limit": _SHAPES},
        {"$match": {"$and": [{"_id": {"$type": "string"}}, {"_id": shape_test(scan.name, present=scan.present)}]}},
        {"$lookup": look_up},
        {"$unwind": "$row"},
        {"$replaceRoot": {"newRoot": "$row"}},
        {"$sort": {"_id": 1}},
        {"$limit": limit},
    ]
    return aggregate(plan.collection, stages, limit)


def aggregate(collection: str, stages: list[Document], limit: int, *, hint: str | None = None) -> Document:
    """Return the command that runs stages on a collection."""
    command: Document = {"aggregate": collection, "pipeline": stages, "cursor": {"batchSize": limit + 1}}
    return command | ({"hint": hint} if hint else {})


# --- Collecting --------------------------------------------------------------------------------------------------


def collecting(plan: TypePlan, scans: Sequence[Scan]) -> list[Document]:
    """Return the stages that leave all matches that some scans read, in no order."""
    reads = [within(scan) for scan in scans] or [{"_id": {"$in": []}}]
    return [
        {"$match": {"$or": reads} if len(reads) > 1 else reads[0]},
        *plan.stages,
        {"$match": without_bounds([plan.filter])},
    ]


def collect(plan: TypePlan, scans: Sequence[Scan], after: Any, limit: int, fields: Document) -> Document:
    """Return the command that finds all matches, sorts them, and gives the next ones."""
    return aggregate(plan.collection, [*collecting(plan, scans), *_cut(plan, after, limit, fields)], limit)


def gather(plan: TypePlan, source: Source, after: Any, limit: int, fields: Document) -> Document:
    """Return the command that finds all matches from the inner end of a chain, sorts them, and gives the next ones."""
    collection, stages = gathering(source)
    return aggregate(collection, [*stages, *_cut(plan, after, limit, fields)], limit)


def gathering(source: Source) -> tuple[str, list[Document]]:
    """Return the collection to begin with, and the stages that leave all matches found from the inside of a chain."""
    first, *others = [(start.type, [*_beginning(start, None), *start.hops]) for start in source.starts]
    return first[0], [*first[1], *({"$unionWith": {"coll": name, "pipeline": stages}} for name, stages in others)]


def counting(source: Source) -> tuple[str, list[Document]]:
    """Return the collection to begin with, and the stages that count all matches found from the inside of a chain."""
    first, *others = [
        (start.type, [{"$match": within(start.scan)}, *_kept(start), *start.counted]) for start in source.starts
    ]
    union = [{"$unionWith": {"coll": name, "pipeline": stages}} for name, stages in others]
    return first[0], [*first[1], *union, {"$group": {"_id": "$_id"}}, {"$count": "n"}]


def range_counting(plan: TypePlan, ranges: RangeCount) -> list[Document]:
    """Return the stages that count a range of one parameter."""
    inside = within(ranges.span)
    parts: list[list[Document]] = [[{"$match": covered(ranges.span)}, {"$count": "n"}]]
    if ranges.others:
        read = {"$or": [within(each) for each in ranges.others]}
        kept = without_bounds([plan.filter, {"$nor": [inside]}])
        parts.append([{"$match": read}, {"$match": kept}, {"$count": "n"}])
    if ranges.doubtful:
        read = {"$or": [within(each) for each in ranges.doubtful]}
        kept = without_bounds([inside, {"$nor": [plan.filter]}])
        less = {"$set": {"n": {"$multiply": ["$n", -1]}}}
        parts.append([{"$match": read}, {"$match": kept}, {"$count": "n"}, less])
    union = [{"$unionWith": {"coll": plan.collection, "pipeline": stages}} for stages in parts[1:]]
    return [*parts[0], *union, {"$group": {"_id": None, "n": {"$sum": "$n"}}}]


def fan(start: Start, limit: int) -> Document:
    """Return the command that counts what a start reads, or what that leads to where it is more, up to the limit."""
    some: Document = {"$limit": limit}
    return aggregate(start.type, [{"$match": within(start.scan)}, some, *start.fan, some, {"$count": "n"}], 1)


def _kept(start: Start) -> list[Document]:
    return [{"$match": without_bounds([stage["$match"]])} if "$match" in stage else stage for stage in start.stages]


def from_inside(start: Start, after: Any, limit: int, fields: Document) -> Document:
    """Return the command that gives the next matches found from a start inside a chain, in the order of their paths."""
    beyond = [{"$match": {"$expr": {"$gt": [f"${PATH}", after]}}}] if after is not None else []
    stages = [*_beginning(start, after), *start.hops, *beyond, {"$limit": limit}, {"$project": {**fields, PATH: 1}}]
    return aggregate(start.type, stages, limit, hint="_id_" if isinstance(start.scan, Ids) else "keys")


def _beginning(start: Start, after: Any) -> list[Document]:
    """Return the stages that read a start from where a row's path begins, in the order of the paths."""
    scan = start.scan
    path: list[Any] = ["$_id"]
    read = [within(scan)]
    order: list[Document] = [{"$sort": {"_id": 1}}]
    if isinstance(scan, KeyRange):
        mine = {"$and": [{"$gte": ["$$this", scan.low]}, {"$lt": ["$$this", scan.high]}]}
        path, order = [{"$min": {"$filter": {"input": "$keys", "as": "this", "cond": mine}}}, "$_id"], []
        if after is not None:
            key, resource_id, *_ = after
            met = {"keys": {"$elemMatch": {"$gte": scan.low, "$lt": key}}}
            read = [{"keys": {"$elemMatch": {"$gte": key, "$lt": scan.high}}}]
            read.append(without_bounds([{"$nor": [met, {"keys": key, "_id": {"$lt": resource_id}}]}]))
    elif after is not None:
        read.append({"_id": {"$gte": after[0]}})
    return [{"$match": {"$and": read}}, *order, *_kept(start), {"$set": {PATH: path}}]


def _cut(plan: TypePlan, after: Any, limit: int, fields: Document) -> list[Document]:
    """Return the stages that sort what was collected, by the plan's keys or else by id, and fetch the rows of one
    page.
    """
    names = [f"_sort{number}" for number in range(len(plan.sort))]
    values = {name: {"$ifNull": [key.expression, None]} for name, key in zip(names, plan.sort, strict=True)}
    absent = {f"{name}_absent": {"$eq": [f"${name}", None]} for name in names}
    order: dict[str, int] = {}
    for name, key in zip(names, plan.sort, strict=True):
        order |= {f"{name}_absent": 1, name: -1 if key.descending else 1}
    stages = [stage for key in plan.sort for stage in key.stages]
    # Only what decides the order is sorted; the rows of the page are fetched afterwards.
    return [
        *stages,
        *([{"$set": values}, {"$set": absent}] if names else []),
        *([{"$match": _beyond(plan.sort, names, after)}] if after is not None else []),
        {"$project": {"_id": 1, **dict.fromkeys((*values, *absent), 1)}},
        {"$sort": {**order, "_id": 1}},
        {"$limit": limit},
        {
            "$lookup": {
                "from": plan.collection,
                "localField": "_id",
                "foreignField": "_id",
                "pipeline": [{"$project": fields}],
                "as": "row",
            }
        },
        {"$set": {"row": {"$first": "$row"}}},
        {"$replaceRoot": {"newRoot": {"$mergeObjects": ["$row", {AT: [f"${name}" for name in names]}]}}},
    ]


def _beyond(sort: Sequence[SortField], names: list[str], after: Any) -> Document:
    """Return the filter of rows that sort after a row with these values and id."""
    *last, resource_id = after
    branches: list[Document] = []
    equal: list[Document] = []
    for name, key, value in zip(names, sort, last, strict=True):
        if value is None:
            equal.append({f"{name}_absent": True})
            continue
        further = {name: {"$lt" if key.descending else "$gt": value}}
        branches += [{"$and": [*equal, further]}, {"$and": [*equal, {f"{name}_absent": True}]}]
        equal.append({name: value})
    return {"$or": [*branches, {"$and": [*equal, {"_id": {"$gt": resource_id}}]}]}


def position(read: Scan | Start | None, row: Document) -> Any:
    """Return where a row stands among those of its command, which read this; None where all were collected."""
    match read:
        case None | Collected():
            return [*row[AT], row["_id"]]
        case Start():
            return row[PATH]
        case KeyRange():
            return [row[AT]["keys"], row["_id"]]
        case UpdatedWalk():
            return [row["updated"], row["_id"]]
    return row["_id"]
