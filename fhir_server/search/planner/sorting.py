"""Sort keys in the database: as an order in which the key index can be read, and as values of collected documents.

The lowest value of several counts in an ascending sort, the highest in a descending one.
https://hl7.org/fhir/R4/search.html#_sort
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from fhir_server.search.index.keys import SORTED_BY, after_prefix, unsorted_key
from fhir_server.search.params.strings import SORTED_BACKWARDS
from fhir_server.search.planner.joins import Filter, Joins, referred_field, referring
from fhir_server.search.planner.scans import Equal, Falling, KeyRange, PresenceScan, Scan, UpdatedWalk
from fhir_server.search.query.ast import SortKey
from fhir_server.search.query.conditions import EVERYTHING, RefersTo
from fhir_server.search.query.criteria import chain_targets, is_canonical, key_names, reference_parameter
from fhir_server.search.registry import parameters

_TEXTS = frozenset({"string", "token", "uri", "reference"})


@dataclass(frozen=True, slots=True)
class SortField:
    """One sort key: the expression of a document's value, null where there is none, after `stages`.

    Where the values are texts, `texts` are the beginnings of the keys that hold them, and `entries` is the expression
    of the sealed index entries that these are in, for a database whose keys have no order.
    """

    expression: Any
    descending: bool
    stages: tuple[Filter, ...] = ()
    texts: tuple[str, ...] = ()
    entries: Any = None


# --- As an order of the index ------------------------------------------------------------------------------------


def sorted_scans(keys: tuple[SortKey, ...], resource_type: str) -> tuple[Scan, ...]:
    """Return scans that read all documents in this order; none where the index has no such order."""
    if len(keys) != 1 or len(keys[0].path) > 1:
        return ()
    key, name = keys[0], keys[0].path[0]
    if key.kind == "_lastUpdated":
        return (UpdatedWalk(None, None, key.descending),)
    if key.kind not in SORTED_BY or parameters(resource_type)[name].parts:
        return ()
    others = Equal((unsorted_key(name),)), PresenceScan(name, present=False)
    if key.descending and (key.kind == "date" or (key.kind == "string" and name in SORTED_BACKWARDS)):
        return KeyRange(f"{name}>", after_prefix(f"{name}>")), *others
    prefix = f"{name}{SORTED_BY[key.kind]}"
    return (Falling if key.descending else KeyRange)(prefix, after_prefix(prefix)), *others


# --- As values ---------------------------------------------------------------------------------------------------


def sort_fields(
    keys: Sequence[SortKey], resource_type: str, words: tuple[tuple[str, ...], ...], joins: Joins
) -> tuple[SortField, ...]:
    """Return how each key's value is found in a collected document; `words` are those that `_score` counts."""
    fields = []
    for key in keys:
        if key.kind == "_score":
            # The best come first, whichever way is written.
            fields.append(SortField({"$sum": [_occurs(each) for each in words]}, True))
        else:
            fields.append(_field(key, resource_type, joins))
    return tuple(fields)


def _field(key: SortKey, resource_type: str, joins: Joins) -> SortField:
    if key.kind == "_id" and len(key.path) == 1:
        return SortField("$_id", key.descending)
    if key.kind == "_lastUpdated" and len(key.path) == 1:
        return SortField("$updated", key.descending)
    if len(key.path) > 1:
        return _chained(key, resource_type, joins)
    extreme = "$max" if key.descending else "$min"
    parameter = parameters(resource_type)[key.path[0]]
    names = key_names(resource_type, parameter)
    if key.kind == "date":
        end = "h" if key.descending else "l"
        bounds = [{"$ifNull": [f"$ranges.{name}.{end}", []]} for name in names]
        return SortField({extreme: {"$concatArrays": bounds}}, key.descending)
    only = f"{parameter.only}/" if parameter.only else ""
    spans = [_span(f"{name}{SORTED_BY[key.kind]}{only}") for name in names]
    mine = {"$filter": {"input": {"$ifNull": ["$keys", []]}, "as": "this", "cond": {"$or": spans}}}
    if key.kind not in _TEXTS:
        return SortField({extreme: mine}, key.descending)
    texts = tuple(f"{name}{SORTED_BY[key.kind]}{only}" for name in names)
    entry = {"type": {"$literal": resource_type}, "_id": "$_id", "version": "$version", "index": "$index"}
    return SortField({extreme: mine}, key.descending, (), texts, entry)


def _span(prefix: str) -> Filter:
    return {"$and": [{"$gte": ["$$this", prefix]}, {"$lt": ["$$this", after_prefix(prefix)]}]}


def _occurs(keys: tuple[str, ...]) -> Filter:
    return {"$cond": [{"$gt": [{"$size": {"$setIntersection": ["$keys", list(keys)]}}, 0]}, 1, 0]}


def _chained(key: SortKey, resource_type: str, joins: Joins) -> SortField:
    """Return the value of a chain: that of the resources which the references lead to and the caller may see."""
    head, *rest = key.path
    code, _, qualifier = head.partition(":")
    parameter = reference_parameter(resource_type, code)
    target = chain_targets(parameter, qualifier or None)[0]
    inner = joins.inner()
    value = _field(replace(key, path=tuple(rest)), target, inner)
    canonical = is_canonical(parameter)
    chains = [RefersTo(name, {}, canonical) for name in key_names(resource_type, parameter)]
    name = joins.new()
    values = {"value": value.expression, **({"entries": value.entries} if value.texts else {})}
    pipeline = [*inner.matching(target, [EVERYTHING]), *value.stages, {"$project": values}]
    look_up = {
        "from": target,
        "localField": name,
        "foreignField": referred_field(chains[0]),
        "pipeline": pipeline,
        "as": name,
    }
    stages = ({"$set": {name: {"$concatArrays": [referring(each, target) for each in chains]}}}, {"$lookup": look_up})
    extreme = "$max" if key.descending else "$min"
    entries = f"${name}.entries" if value.texts else None
    return SortField({extreme: f"${name}.value"}, key.descending, stages, value.texts, entries)
