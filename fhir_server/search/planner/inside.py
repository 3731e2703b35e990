"""Searches with a chain or `_has` started at its inner end: from the few documents that meet the inner condition, hop
by hop to those that are searched.

Rows come in the order of their path: where the scan at the start stands, then the id at each hop. Each outer document
comes once, by the path through the lowest ids, so a page can go on after any row and nothing has to be collected first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from fhir_server.search.index.element_paths import is_single
from fhir_server.search.planner.filters import new_joins
from fhir_server.search.planner.joins import Access, Filter, referred, referred_field, referring
from fhir_server.search.planner.scans import EVERYTHING_RANK, Equal, Ids, KeyRange, Scan, drives, within
from fhir_server.search.query.conditions import All, Condition, Not, ReferredBy, RefersTo
from fhir_server.search.registry import parameters

PATH = "_path"
"""The field with the ids on the way to a document."""

_MOST_STARTS = 16


@dataclass(frozen=True, slots=True)
class Start:
    """Documents of a type to begin with, the stages that keep those that meet the inner condition, and the hops
    outward.
    """

    type: str
    scan: Scan
    stages: tuple[Filter, ...]
    hops: tuple[Filter, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """A way to find matches from the inside of a chain: its starts one after another."""

    starts: tuple[Start, ...]


def sources(condition: Condition, resource_type: str, access: Access) -> tuple[Source, ...]:
    """Return the ways to find the resources of a type that meet the condition from the inside of one of its chains."""
    found = (_through(chain, resource_type, condition, access) for chain in _chains(condition))
    return tuple(Source(tuple(starts)) for starts in found if starts is not None)


def _chains(condition: Condition) -> Iterator[RefersTo | ReferredBy]:
    if isinstance(condition, All):
        for each in condition.conditions:
            yield from _chains(each)
    elif isinstance(condition, RefersTo | ReferredBy):
        yield condition


def _through(
    chain: RefersTo | ReferredBy, resource_type: str, condition: Condition, access: Access
) -> list[Start] | None:
    """Return the starts at the inner end of a chain; None where the index does not narrow what is there."""
    ends = [(chain.source, chain.condition)] if isinstance(chain, ReferredBy) else list(chain.targets.items())
    rest = _without(condition, chain)
    found: list[Start] = []
    for number, (inner_type, inner) in enumerate(ends):
        starts = _starts(inner_type, inner, access)
        if starts is None or len(found) + len(starts) > _MOST_STARTS:
            return None
        hops = tuple(_hop(chain, dict(ends[: number + 1]), resource_type, rest, access))
        found += [replace(each, hops=(*each.hops, *hops)) for each in starts]
    held = _containers(chain, resource_type, rest, access)
    return None if held is None or len(found) + len(held) > _MOST_STARTS else found + held


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
        found = _through(chain, resource_type, condition, access)
        if found is not None:
            return found
    return None


def _unseen(scans: tuple[Scan, ...]) -> list[Filter]:
    return [{"$match": {"$nor": [within(scan) for scan in scans]}}] if scans else []


# --- Hops --------------------------------------------------------------------------------------------------------


def _hop(
    chain: RefersTo | ReferredBy, ends: dict[str, Condition], resource_type: str, rest: Condition, access: Access
) -> list[Filter]:
    """Return the stages from documents at the last of the ends to those of `resource_type` that also meet the rest."""
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
        return [*keys, *step, *_first_referring(chain, access)]
    keys = [{"$set": {"_key": referred(chain, inner_type)}}]
    step = _step(resource_type, "keys", [{"$sort": {"_id": 1}}, *kept])
    parameter = parameters(resource_type).get(chain.name)
    # Of a canonical URL there may be several versions.
    single = parameter is not None and is_single(parameter.branches) and not chain.canonical
    return [*keys, *step, *([] if single else _first_target(chain, ends, access))]


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
