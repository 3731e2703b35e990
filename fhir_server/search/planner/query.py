"""A query as a plan for the database: what may be read to find its matches, the filter that decides, and the order.

How a caller uses it: `parse.parse` the URL, `compile_query` with the caller's access rule, then give the plan to
`store.search`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fhir_server.search.planner.bounds import Order, bounded
from fhir_server.search.planner.counts import RangeCount, range_count
from fhir_server.search.planner.filters import everyone, new_joins, to_filter
from fhir_server.search.planner.inside import Source, sources
from fhir_server.search.planner.joins import Access, Filter, Joins
from fhir_server.search.planner.scans import AccessPath, drives, flat
from fhir_server.search.planner.sorting import SortField, sort_fields, sorted_scans
from fhir_server.search.query.ast import Query
from fhir_server.search.query.conditions import All, Condition, ReferredBy, RefersTo, leaves


@dataclass(frozen=True, slots=True)
class TypePlan:
    """How one resource type may be searched; the store chooses by how much each way would read.

    `drives` are scans that read every match, the likely narrowest first. `stages` look up what `filter` needs of other
    resources, after they have left out what cannot match. `orders` are the scans to choose from that read
    documents in the order of `sort`, where there are such.
    """

    type: str
    drives: tuple[AccessPath, ...]
    stages: tuple[Filter, ...]
    filter: Filter
    sources: tuple[Source, ...] = ()
    sort: tuple[SortField, ...] = ()
    orders: tuple[Order, ...] = ()
    exact: bool = False
    """Whether the first drive reads nothing but matches."""
    range_count: RangeCount | None = None
    """How matches are counted without looking at each, where what is asked is a range of one parameter."""
    collection: str = ""
    """Where its documents are: those of a type are stored in a collection of its name, definitions apart from it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to search the types of a query."""

    types: tuple[TypePlan, ...]
    sort: tuple[SortField, ...] = field(default=())


def compile_query(query: Query, access: Access = everyone, defined: Mapping[str, str] | None = None) -> Plan:
    """Return the plan for a query.

    `access` says which resources of a type the caller may see, also in chains and `_has`. `defined` says in which
    further collection there are definitions of a type, to be searched with what is stored.
    """
    places = [(name, name) for name in query.types]
    places += [(name, defined[name]) for name in query.types if defined and name in defined]
    plans = tuple(_type_plan(query, name, access, place, alone=len(places) == 1) for name, place in places)
    return Plan(plans, plans[0].sort if plans else ())


def _sort_fields(query: Query, resource_type: str, access: Access) -> tuple[SortField, ...]:
    # Looked up under names of their own, apart from those of the filter's joins.
    return sort_fields(query.sort, resource_type, query.words, Joins(access, to_filter, depth=100))


def _type_plan(query: Query, resource_type: str, access: Access, collection: str, *, alone: bool) -> TypePlan:
    condition = query.condition(resource_type)
    own = access(resource_type)
    conditions = [condition] if own is None else [condition, own]
    documents = document_filter(resource_type, condition, access)
    paths = drives(All(tuple(conditions)))
    return TypePlan(
        type=resource_type,
        drives=paths,
        filter=documents.filter,
        stages=documents.stages,
        sources=sources(condition, resource_type, access) if documents.stages else (),
        sort=_sort_fields(query, resource_type, access),
        orders=_orders(query, resource_type, condition) if alone else (),
        range_count=range_count(condition) if own is None else None,
        exact=own is None and paths[0].exact and not documents.stages,
        collection=collection,
    )


@dataclass(frozen=True, slots=True)
class DocumentFilter:
    """Which documents of a type are live, meet a condition and are the caller's to see.

    `stages` look up what `filter` needs of other resources.
    """

    filter: Filter
    stages: tuple[Filter, ...] = ()


def document_filter(resource_type: str, condition: Condition, access: Access = everyone) -> DocumentFilter:
    """Return the filter of the live resources of a type that meet a condition and that the caller may see."""
    joins = new_joins(access)
    visible = joins.visible(resource_type, [condition])
    return DocumentFilter(visible, (*_early(condition), *joins.stages) if joins.stages else ())


def _orders(query: Query, resource_type: str, condition: Condition) -> tuple[Order, ...]:
    scans = sorted_scans(query.sort, resource_type)
    return bounded(scans, resource_type, query.sort[0].path[0], condition) if scans else ()


def _early(condition: Condition) -> list[Filter]:
    """Return the stage that keeps what meets the parts of a condition that need no other resource: fewer to look up."""
    own = [each for each in flat((condition,)) if not any(isinstance(leaf, _JOINED) for leaf in leaves(each))]
    # Twice negated, so that the planner takes no index bounds from it: what is read is chosen already.
    return [{"$match": {"$nor": [{"$nor": [to_filter(All(tuple(own)))]}]}}] if own else []


_JOINED = (RefersTo, ReferredBy)
