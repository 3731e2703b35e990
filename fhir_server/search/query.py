"""A query as a plan for the database: which documents to read in which order, and the filter that decides.

How a caller uses it: `parse.parse` the URL, `compile_query` with the access rule of the caller, then give the plan to
`store.search`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fhir_server.search.ast import Query, SortKey
from fhir_server.search.filters import Access, Filter, Joins, nobody, to_filter
from fhir_server.search.keys import EVERY
from fhir_server.search.scans import ALL, EVERYTHING_RANK, Absent, Drive, Scan, UpdatedWalk, Walk, drive


@dataclass(frozen=True, slots=True)
class Segment:
    """One stretch of a result: what to read, the stages to run on each document, and the filter on what then stands
    there.
    """

    scan: Scan
    stages: tuple[Filter, ...]
    filter: Filter
    temporary: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SortField:
    """One sort key of documents that are collected first: the expression of its value, which is null where there is
    none.
    """

    expression: Any
    descending: bool
    stages: tuple[Filter, ...] = ()


@dataclass(frozen=True, slots=True)
class TypePlan:
    """How to search one resource type: segments one after another, or, where there is a sort, all of them collected
    and sorted.
    """

    type: str
    segments: tuple[Segment, ...]
    sort: tuple[SortField, ...] = ()
    rank: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """How to search, type after type."""

    types: tuple[TypePlan, ...]


def compile_query(query: Query, access: Access | Mapping[str, Any] | None = None) -> Plan:
    """Return the plan for a query.

    `access` says which resources of a type the caller may see (None: all of them), also in chains and `_has`: a
    function of the type, or for a search of one type without joins the database condition itself.
    """
    allowed = access if callable(access) else (lambda resource_type: access) if access is not None else nobody
    return Plan(tuple(_type_plan(query, name, allowed) for name in query.types))


def _type_plan(query: Query, resource_type: str, access: Access) -> TypePlan:
    condition = query.condition(resource_type)
    found = drive(condition)
    joins = Joins(access)
    filters = [to_filter(condition, joins)]
    allowed = access(resource_type)
    if allowed is not None:
        if not isinstance(allowed, Mapping):
            own = drive(allowed)
            found = own if own.rank < found.rank else found
        filters.append(dict(allowed) if isinstance(allowed, Mapping) else to_filter(allowed, joins))
    return _arranged(query, resource_type, found, joins, filters)


def _arranged(query: Query, resource_type: str, found: Drive, joins: Joins, filters: list[Filter]) -> TypePlan:
    sorting = query.sort
    scans = found.scans
    if sorting and found.rank == EVERYTHING_RANK and len(sorting) == 1:
        walked = _sorted_scans(sorting[0])
        scans, sorting = (walked, ()) if walked else (scans, sorting)
    elif (
        sorting == (SortKey(("_id",), False, "_id", "_id"),)
        and len(scans) == 1
        and not isinstance(scans[0], Walk | UpdatedWalk)
    ):
        sorting = ()
    segments = tuple(_segment(scan, scans[:position], joins, filters) for position, scan in enumerate(scans))
    return TypePlan(resource_type, segments, tuple(map(_sort_field, sorting)), found.rank)


def _segment(scan: Scan, before: tuple[Scan, ...], joins: Joins, filters: list[Filter]) -> Segment:
    live = [] if scan == ALL else [{"keys": EVERY}]
    # A document that an earlier segment has read is not read again.
    seen = [{"$nor": [within(each)]} for each in before]
    return Segment(scan, tuple(joins.stages), {"$and": [*live, *filters, *seen]}, tuple(joins.names))


def within(scan: Scan) -> Filter:
    """Return the filter of what a scan reads."""
    match scan:
        case Walk(low, high):
            return {"keys": {"$elemMatch": {"$gte": low, "$lt": high}}}
        case UpdatedWalk(low, high):
            bounds = {**({"$gte": low} if low is not None else {}), **({"$lt": high} if high is not None else {})}
            return {"updated": bounds} if bounds else {}
        case Absent(name):
            return {"shape": {"$not": {"$regex": f"(^|,){name}(,|$)"}}}
    return {"_id": {"$in": list(scan.ids)}} if hasattr(scan, "ids") else {"keys": {"$in": list(scan.keys)}}


# --- Sort --------------------------------------------------------------------------------------------------------

_WALKED = {"string": "=", "token": "=", "reference": "=", "uri": "=", "number": "<", "quantity": "<", "date": "<"}


def _sorted_scans(key: SortKey) -> tuple[Scan, ...]:
    """Return scans that read all documents in the order of a sort key; none where the index has no such order."""
    name = key.path[0]
    if key.kind == "_lastUpdated":
        return (UpdatedWalk(None, None, key.descending),)
    if len(key.path) > 1 or key.kind not in _WALKED:
        return ()
    if key.descending:
        return (Walk(f"{name}>", f"{name}?"), Absent(name)) if key.kind == "date" else ()
    operator = _WALKED[key.kind]
    return Walk(f"{name}{operator}", f"{name}{chr(ord(operator) + 1)}"), Absent(name)


def _sort_field(key: SortKey) -> SortField:
    name = key.path[-1]
    least = "$max" if key.descending else "$min"
    if key.kind == "_id":
        return SortField("$_id", key.descending)
    if key.kind == "_lastUpdated":
        return SortField("$updated", key.descending)
    if key.kind == "date":
        return SortField({least: f"$ranges.{name}.{'h' if key.descending else 'l'}"}, key.descending)
    operator = _WALKED[key.kind]
    between = [{"$gte": ["$$this", f"{name}{operator}"]}, {"$lt": ["$$this", f"{name}{chr(ord(operator) + 1)}"]}]
    mine = {"$filter": {"input": "$keys", "as": "this", "cond": {"$and": between}}}
    return SortField({least: mine}, key.descending)
