"""Conditions as MongoDB filters: what decides whether a document matches, whichever way it was found."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fhir_server.search.conditions import (
    All,
    AnyOf,
    Condition,
    HasId,
    HasKey,
    InRange,
    InTuple,
    KeySpan,
    Narrowed,
    Not,
    Present,
    ReferredBy,
    RefersTo,
    Updated,
)
from fhir_server.search.keys import EVERY, SEPARATOR

Filter = dict[str, Any]
Access = Callable[[str], "Condition | Mapping[str, Any] | None"]

_OPERATORS = {"<": "$lt", "<=": "$lte", ">": "$gt", ">=": "$gte"}
IMPOSSIBLE: Filter = {"_id": {"$in": []}}


@dataclass(slots=True)
class Joins:
    """The stages that look up what a filter needs of other resources, collected while it is written.

    `access` says which resources of a type the caller may see: no others count in a join.
    """

    access: Access
    stages: list[Filter] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    depth: int = 0

    def new(self) -> str:
        """Return the name of a new field for what is looked up."""
        name = f"_join{self.depth}_{len(self.names)}"
        self.names.append(name)
        return name


def nobody(resource_type: str) -> None:
    """Restrict nothing: the access rule of a caller who sees everything."""
    return


def to_filter(condition: Condition, joins: Joins | None = None) -> Filter:
    """Return the filter of a condition; one on other resources adds its look-ups to `joins`, and needs it."""
    match condition:
        case HasKey(keys):
            return {"keys": keys[0]} if len(keys) == 1 else {"keys": {"$in": list(keys)}}
        case KeySpan():
            return _span(condition)
        case InRange():
            return {f"ranges.{condition.name}": {"$elemMatch": _range(condition)}}
        case InTuple(name, within):
            return {f"ranges.{name}": {"$elemMatch": to_filter(within)}}
        case Present(name):
            return {"shape": {"$regex": f"(^|,){re.escape(name)}(,|$)"}}
        case HasId(ids):
            return {"_id": ids[0]} if len(ids) == 1 else {"_id": {"$in": list(ids)}}
        case Updated(operator, time):
            return {"updated": {_OPERATORS[operator]: time}}
        case Narrowed(test, _):
            return to_filter(test, joins)
    return _combined(condition, joins)


def _combined(condition: Condition, joins: Joins | None) -> Filter:
    match condition:
        case All(conditions):
            return {"$and": [to_filter(each, joins) for each in conditions]} if conditions else {}
        case AnyOf(conditions):
            return {"$or": [to_filter(each, joins) for each in conditions]} if conditions else IMPOSSIBLE
        case Not(inner):
            return {"$nor": [to_filter(inner, joins)]}
        case RefersTo() if joins is not None:
            return _refers_to(condition, joins)
        case ReferredBy() if joins is not None:
            return _referred_by(condition, joins)
    raise TypeError(f"{type(condition).__name__} needs a join, which has no place here.")


def _span(span: KeySpan) -> Filter:
    if not span.containing:
        return {"keys": {"$elemMatch": {"$gte": span.low, "$lt": span.high}}}
    return {"keys": {"$regex": f"^{re.escape(span.low)}[^{SEPARATOR}]*{re.escape(span.containing)}"}}


def _range(condition: InRange) -> Filter:
    tests: dict[str, Filter] = {}
    for bound, operator, value in condition.tests:
        tests.setdefault(bound, {})[_OPERATORS[operator]] = value
    if condition.unit is not None:
        return {**tests, "u": condition.unit}
    return tests


# --- Joins -------------------------------------------------------------------------------------------------------


def visible(condition: Condition, resource_type: str, joins: Joins) -> list[Filter]:
    """Return the stages that keep the live resources of a type which meet the condition and which the caller may see."""
    inner = Joins(joins.access, depth=joins.depth + 1)
    filters: list[Filter] = [{"keys": EVERY}, to_filter(condition, inner)]
    allowed = joins.access(resource_type)
    if allowed is not None:
        filters.append(dict(allowed) if isinstance(allowed, Mapping) else to_filter(allowed, inner))
    return [*inner.stages, {"$match": {"$and": filters}}]


def _refers_to(condition: RefersTo, joins: Joins) -> Filter:
    found: list[Filter] = []
    for target, inner in condition.targets.items():
        name = joins.new()
        prefix = f"{condition.name}={target}/"
        joins.stages += [
            {"$set": {f"{name}_ids": _ids_in_keys(prefix)}},
            {
                "$lookup": {
                    "from": target,
                    "localField": f"{name}_ids",
                    "foreignField": "_id",
                    "pipeline": [*visible(inner, target, joins), {"$limit": 1}, {"$project": {"_id": 1}}],
                    "as": name,
                }
            },
        ]
        found.append({f"{name}.0": {"$exists": True}})
    return {"$or": found} if found else IMPOSSIBLE


def _ids_in_keys(prefix: str) -> Filter:
    mine = {"$eq": [{"$indexOfBytes": ["$$this", prefix]}, 0]}
    length = len(prefix.encode())
    rest = {"$substrBytes": ["$$this", length, {"$subtract": [{"$strLenBytes": "$$this"}, length]}]}
    return {
        "$map": {
            "input": {"$filter": {"input": {"$ifNull": ["$keys", []]}, "as": "this", "cond": mine}},
            "as": "this",
            "in": rest,
        }
    }


def _referred_by(condition: ReferredBy, joins: Joins) -> Filter:
    name = joins.new()
    joins.stages += [
        {"$set": {f"{name}_key": {"$concat": [f"{condition.name}={condition.type}/", "$_id"]}}},
        {
            "$lookup": {
                "from": condition.source,
                "localField": f"{name}_key",
                "foreignField": "keys",
                "pipeline": [
                    *visible(condition.condition, condition.source, joins),
                    {"$limit": 1},
                    {"$project": {"_id": 1}},
                ],
                "as": name,
            }
        },
    ]
    return {f"{name}.0": {"$exists": True}}
