"""A query as a plan for the database: what may be read to find its matches, the filter that decides, and the order.

How a caller uses it: `parse.parse` the URL, `compile_query` with the caller's access rule, then give the plan to
`store.search`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fhir_server.search.ast import Query
from fhir_server.search.conditions import All, Condition, ReferredBy, RefersTo
from fhir_server.search.filters import IMPOSSIBLE, everyone, new_joins, to_filter
from fhir_server.search.joins import Access, Filter, Joins, hop
from fhir_server.search.scans import ALL, EVERYTHING_RANK, Drive, Scan, drives, within
from fhir_server.search.sorting import SortField, sort_fields, sorted_scans


@dataclass(frozen=True, slots=True)
class Source:
    """A way to find matches from the inside of a chain: `probe` reads the documents of `collection` that it starts
    with.
    """

    collection: str
    probe: tuple[Scan, ...]
    stages: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class TypePlan:
    """How one resource type may be searched; the store chooses by how much each way would read.

    `drives` are scans that read every match, the likely narrowest first. `stages` look up what `filter` needs of other
    resources. `order` are the scans that read documents in the order of `sort`, where there are such.
    """

    type: str
    drives: tuple[Drive, ...]
    stages: tuple[Filter, ...]
    filter: Filter
    sources: tuple[Source, ...] = ()
    sort: tuple[SortField, ...] = ()
    order: tuple[Scan, ...] = ()
    exact: bool = False
    """Whether the first drive reads nothing but matches."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to search the types of a query."""

    types: tuple[TypePlan, ...]
    sort: tuple[SortField, ...] = field(default=())


def compile_query(query: Query, access: Access | Mapping[str, Any] | None = None) -> Plan:
    """Return the plan for a query.

    `access` says which resources of a type the caller may see (None: all of them), also in chains and `_has`: a
    function of the type, or for a search of one type without joins the database condition itself.
    """
    allowed: Access = everyone
    if callable(access):
        allowed = access
    elif access is not None:
        allowed = lambda resource_type: access  # noqa: E731 - a rule of one type
    plans = tuple(_type_plan(query, name, allowed) for name in query.types)
    return Plan(plans, plans[0].sort if plans else ())


def _sort_fields(query: Query, resource_type: str, access: Access) -> tuple[SortField, ...]:
    # Looked up under names of their own, apart from those of the filter's joins.
    return sort_fields(query.sort, resource_type, query.words, Joins(access, to_filter, depth=100))


def _type_plan(query: Query, resource_type: str, access: Access) -> TypePlan:
    condition = query.condition(resource_type)
    own = access(resource_type)
    conditions = [condition] if own is None or isinstance(own, Mapping) else [condition, own]
    joins = new_joins(access)
    found = drives(All(tuple(conditions)))
    return TypePlan(
        type=resource_type,
        drives=found,
        filter=joins.visible(resource_type, [condition]),
        stages=tuple(joins.stages),
        sources=tuple(_sources(condition, resource_type, access, query)) if joins.stages else (),
        sort=_sort_fields(query, resource_type, access),
        order=sorted_scans(query.sort, resource_type) if len(query.types) == 1 else (),
        exact=own is None and found[0].exact and not joins.stages,
    )


# --- From the inside ---------------------------------------------------------------------------------------------


def _sources(condition: Condition, resource_type: str, access: Access, query: Query) -> list[Source]:
    """Return the ways to start a search at the inner end of one of its chains."""
    found = []
    for chain in _joined(condition):
        keep = new_joins(access).matching(resource_type, [condition])
        kept = [*keep, {"$project": {"_id": 1, **_kept_for_sorting(query)}}]
        source = _from_inside(chain, resource_type, kept, access)
        if source is not None:
            found.append(source)
    return found


def _kept_for_sorting(query: Query) -> Filter:
    return {"keys": 1, "ranges": 1, "updated": 1} if query.sort else {}


def _joined(condition: Condition) -> list[RefersTo | ReferredBy]:
    if isinstance(condition, All):
        return [chain for each in condition.conditions for chain in _joined(each)]
    return [condition] if isinstance(condition, RefersTo | ReferredBy) else []


def _from_inside(chain: RefersTo | ReferredBy, resource_type: str, keep: list[Filter], access: Access) -> Source | None:
    if isinstance(chain, ReferredBy):
        return _hopping(chain, chain.source, chain.condition, resource_type, keep, access)
    if len(chain.targets) != 1:
        return None
    target, inner = next(iter(chain.targets.items()))
    return _hopping(chain, target, inner, resource_type, keep, access)


def _hopping(  # noqa: PLR0917 - the two ends of a hop, and what is between
    chain: RefersTo | ReferredBy, target: str, inner: Condition, resource_type: str, keep: list[Filter], access: Access
) -> Source | None:
    start = _start(target, inner, access)
    if start is None:
        return None
    return Source(start.collection, start.probe, (*start.stages, *hop(chain, target, resource_type, keep)))


def _start(resource_type: str, condition: Condition, access: Access) -> Source | None:
    """Return the stages that find the documents of a type from a scan of it, or from further inside."""
    first = drives(condition)[0]
    if first.rank < EVERYTHING_RANK:
        reads = [within(scan) for scan in first.scans]
        joins: Joins = new_joins(access)
        read: Filter = {"$match": {"$or": reads} if reads else IMPOSSIBLE}
        return Source(resource_type, first.scans, (read, *joins.matching(resource_type, [condition])))
    keep = new_joins(access).matching(resource_type, [condition])
    for chain in _joined(condition):
        source = _from_inside(chain, resource_type, keep, access)
        if source is not None:
            return source
    return None


__all__ = ["ALL", "Plan", "Source", "TypePlan", "compile_query"]
