"""Searches with a chain or `_has` started at its inner end: from the few documents that meet the inner condition, hop
by hop to those that are searched.

Rows come in the order of their path: where the scan at the start stands, then the id at each hop. Each outer document
comes once, by the path through the lowest ids, so a page can go on after any row and nothing has to be collected first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from fhir_server.search.index.element_paths import is_single
from fhir_server.search.planner.filters import new_joins
from fhir_server.search.planner.joins import Access, Filter, referred, referred_field, referring
from fhir_server.search.planner.scans import EVERYTHING_RANK, Equal, Ids, KeyRange, Scan, drives, within
from fhir_server.search.query.conditions import All, Condition, Not, ReferredBy, RefersTo
from fhir_server.search.registry import parameters

PATH = "_path"
"""The field with the ids on the way to a document."""

_MOST_STARTS = 16
_FAN = 1_000


@dataclass(frozen=True, slots=True)
class Start:
    """Documents of a type to begin with, the stages that keep those that meet the inner condition, and the hops
    outward, by which each outer document is reached once.

    `counted` are the hops to the ids of outer documents, in no order and perhaps more than once, which cost less;
    `fan` shows some of what the first hop leads to.
    """

    type: str
    scan: Scan
    stages: tuple[Filter, ...]
    hops: tuple[Filter, ...] = ()
    counted: tuple[Filter, ...] = ()
    fan: tuple[Filter, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """A way to find matches from the inside of a chain: its starts one after another."""

    starts: tuple[Start, ...]


def sources(condition: Condition, resource_type: str, access: Access) -> tuple[Source, ...]:
    """Return the ways to find the resources of a type that meet the condition from the inside of one of its chains."""
    starts_of_chains = (_through(chain, resource_type, condition, access, last=True) for chain in _chains(condition))
    return tuple(Source(tuple(starts)) for starts in starts_of_chains if starts is not None)


def _chains(condition: Condition) -> Iterator[RefersTo | ReferredBy]:
    if isinstance(condition, All):
        for each in condition.conditions:
            yield from _chains(each)
    elif isinstance(condition, RefersTo | ReferredBy):
        yield condition


def _through(
    chain: RefersTo | ReferredBy, resource_type: str, condition: Condition, access: Access, *, last: bool
) -> list[Start] | None:
    """Return the starts at the inner end of a chain; None where the index does not narrow what is there.

    `last` tells that the chain leads to what is searched.
    """
    ends = [(chain.source, chain.condition)] if isinstance(chain, ReferredBy) else list(chain.targets.items())
    rest = _without(condition, chain)
    outer_starts: list[Start] = []
    for number, (inner_type, inner) in enumerate(ends):
        starts = _starts(inner_type, inner, access)
        if starts is None or len(outer_starts) + len(starts) > _MOST_STARTS:
            return None
        hops = _hop(chain, dict(ends[: number + 1]), resource_type, rest, access, one=_is_one(starts))
        counted = _counted_hop(chain, inner_type, resource_type, rest, access, last=last)
        fan = _fan(chain, inner_type, resource_type)
        outer_starts += [
            replace(each, hops=(*each.hops, *hops), counted=(*each.counted, *counted), fan=each.fan or tuple(fan))
            for each in starts
        ]
    held = _containers(chain, resource_type, rest, access)
    return None if held is None or len(outer_starts) + len(held) > _MOST_STARTS else outer_starts + held


def _containers(
    chain: RefersTo | ReferredBy, resource_type: str, rest: Condition, access: Access
) -> list[Start] | None:
    """Return how to find those that contain what a chain leads to, without those that the other starts find."""
    if isinstance(chain, ReferredBy) or chain.contained is None:
        return []
    others = Not(replace(chain, contained=None))
    return _starts(resource_type, All((chain.contained, rest, others)), access)


def _without(condition: Condition, chain: Condition) -> Condition:
    if condition is chain:
        return All(())
    if isinstance(condition, All):
        return All(tuple(_without(each, chain) for each in condition.conditions))
    return condition


def _starts(resource_type: str, condition: Condition, access: Access) -> list[Start] | None:
    """Return how to find the documents of a type that meet a condition: by scans of it, or from further inside."""
    best = drives(condition)[0]
    if best.rank < EVERYTHING_RANK and all(isinstance(scan, Equal | Ids | KeyRange) for scan in best.scans):
        stages = new_joins(access).matching(resource_type, [condition])
        return [
            Start(resource_type, scan, (*_unseen(best.scans[:number]), *stages))
            for number, scan in enumerate(best.scans)
        ]
    for chain in _chains(condition):
        starts = _through(chain, resource_type, condition, access, last=False)
        if starts is not None:
            return starts
    return None


def _is_one(starts: list[Start]) -> bool:
    """Return whether a single resource is begun with."""
    return len(starts) == 1 and not starts[0].hops and isinstance(starts[0].scan, Ids) and len(starts[0].scan.ids) == 1


def _unseen(scans: tuple[Scan, ...]) -> list[Filter]:
    return [{"$match": {"$nor": [within(scan) for scan in scans]}}] if scans else []


# --- Hops --------------------------------------------------------------------------------------------------------


def _hop(
    chain: RefersTo | ReferredBy,
    ends: dict[str, Condition],
    resource_type: str,
    rest: Condition,
    access: Access,
    *,
    one: bool,
) -> list[Filter]:
    """Return the stages from documents at the last of the ends to those of `resource_type` that also meet the rest.

    `one` tells that there is one such document, so that none is reached from an earlier one, too.
    """
    kept = [*new_joins(access).inner().matching(resource_type, [rest]), {"$project": {"resource": 0}}]
    inner_type = list(ends)[-1]
    if isinstance(chain, ReferredBy):
        keys: list[Filter] = [{"$set": {"_key": referring(chain, resource_type)}}]
        if chain.canonical:
            step = _step(resource_type, referred_field(chain), [{"$sort": {"_id": 1}}, *kept])
        else:
            # One by one: what refers to many, as a Group does, would not fit into one document with all of them.
            ids = {"$sortArray": {"input": "$_key", "sortBy": 1}}
            keys += [{"$set": {"_key": ids}}, {"$unwind": "$_key"}]
            step = _step(resource_type, referred_field(chain), kept)
        return [*keys, *step, *([] if one else _first_referring(chain, access))]
    keys = [{"$set": {"_key": referred(chain, inner_type)}}]
    step = _step(resource_type, "keys", [{"$sort": {"_id": 1}}, *kept])
    parameter = parameters(resource_type).get(chain.name)
    # Of a canonical URL there may be several versions.
    single = parameter is not None and is_single(parameter.branches) and not chain.canonical
    return [*keys, *step, *([] if single else _first_target(chain, ends, access))]


def _counted_hop(
    chain: RefersTo | ReferredBy, inner_type: str, resource_type: str, rest: Condition, access: Access, *, last: bool
) -> list[Filter]:
    """Return the stages from inner documents to the ids of those they lead to, with their keys unless `last`."""
    shown = {"_id": 1} if last else {"keys": 1}
    kept = [*new_joins(access).inner().matching(resource_type, [rest]), {"$project": shown}]
    stages: list[Filter] = [{"$set": {"_key": _led_by(chain, inner_type, resource_type)}}]
    again = {"$group": {"_id": "$_id"} if last else {"_id": "$_id", "keys": {"$first": "$keys"}}}
    return [*stages, *_outward(chain, resource_type, kept), again]


def _fan(chain: RefersTo | ReferredBy, inner_type: str, resource_type: str) -> list[Filter]:
    """Return the stages that show some of what a hop leads to, whether it matches or not."""
    some: list[Filter] = [{"$limit": _FAN}, {"$project": {"_id": 1}}]
    return [
        {"$set": {"_key": _led_by(chain, inner_type, resource_type)}},
        *_outward(chain, resource_type, some),
        {"$limit": _FAN},
    ]


def _led_by(chain: RefersTo | ReferredBy, inner_type: str, resource_type: str) -> Any:
    return referring(chain, resource_type) if isinstance(chain, ReferredBy) else referred(chain, inner_type)


def _outward(chain: RefersTo | ReferredBy, resource_type: str, kept: list[Filter]) -> list[Filter]:
    field = referred_field(chain) if isinstance(chain, ReferredBy) else "keys"
    look_up = {"from": resource_type, "localField": "_key", "foreignField": field, "pipeline": kept, "as": "_next"}
    return [{"$lookup": look_up}, {"$unwind": "$_next"}, {"$replaceRoot": {"newRoot": "$_next"}}]


def _step(resource_type: str, foreign: str, kept: list[Filter]) -> list[Filter]:
    look_up = {"from": resource_type, "localField": "_key", "foreignField": foreign, "pipeline": kept, "as": "_next"}
    path = {PATH: {"$concatArrays": [f"${PATH}", ["$_next._id"]]}, "_previous": "$_id"}
    return [
        {"$lookup": look_up},
        {"$unwind": "$_next"},
        {"$replaceRoot": {"newRoot": {"$mergeObjects": ["$_next", path]}}},
    ]


def _first_referring(chain: ReferredBy, access: Access) -> list[Filter]:
    """Return the stages that keep a document only as it was reached from the first of those that refer to it."""
    matching = new_joins(access).inner().matching(chain.source, [chain.condition])
    key = {"$set": {"_key": referred(chain, chain.type)}}
    return [key, *_none_earlier(chain.source, "_key", "keys", matching, before=True)]


def _first_target(chain: RefersTo, ends: dict[str, Condition], access: Access) -> list[Filter]:
    """Return the stages that keep a document only as it was reached through the first of its references."""
    stages: list[Filter] = []
    last = list(ends)[-1]
    for target, inner in ends.items():
        matching = new_joins(access).inner().matching(target, [inner])
        stages.append({"$set": {"_key": referring(chain, target)}})
        stages += _none_earlier(target, "_key", referred_field(chain), matching, before=target == last)
    return stages


def _none_earlier(source: str, local: str, foreign: str, matching: list[Filter], *, before: bool) -> list[Filter]:
    earlier: list[Filter] = [{"$match": {"$expr": {"$lt": ["$_id", "$$previous"]}}}] if before else []
    look_up = {
        "from": source,
        "localField": local,
        "foreignField": foreign,
        "let": {"previous": "$_previous"},
        "pipeline": [*earlier, *matching, {"$limit": 1}, {"$project": {"_id": 1}}],
        "as": "_earlier",
    }
    return [{"$lookup": look_up}, {"$match": {"_earlier": []}}]
