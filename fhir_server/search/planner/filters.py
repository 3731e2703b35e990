"""Conditions as MongoDB filters: what decides whether a document matches, whichever way it was found."""

from __future__ import annotations

import re

from fhir_server.errors import BadRequest
from fhir_server.search.index.keys import SEPARATOR
from fhir_server.search.planner.joins import Access, Filter, Joins, referred_by, refers_to
from fhir_server.search.query.conditions import (
    All,
    AnyOf,
    Concepts,
    Condition,
    HasId,
    HasKey,
    HasText,
    Hierarchy,
    InRange,
    InTuple,
    KeySpan,
    Narrowed,
    Not,
    Present,
    ReferredBy,
    RefersTo,
    Updated,
    WithinDistance,
)

_OPERATORS = {"<": "$lt", "<=": "$lte", ">": "$gt", ">=": "$gte"}
IMPOSSIBLE: Filter = {"_id": {"$in": []}}


def everyone(resource_type: str) -> None:
    """Restrict nothing: the access rule of a caller who sees everything."""
    return


def new_joins(access: Access = everyone) -> Joins:
    """Return the place where `to_filter` collects the look-ups of chains."""
    return Joins(access, to_filter)


def filter_of(where: Condition | None) -> Filter:
    """Return the filter of what a caller may see, which holds of everything where that is None."""
    return {} if where is None else to_filter(where)


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
        case WithinDistance():
            return _within_distance(condition)
        case Present(name):
            return {"shape": shape_test(name, present=True)}
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
        case HasText(name, text):
            return {f"ranges.{name}": {"$elemMatch": {"t": {"$regex": re.escape(text)}}}}
        case Not(inner):
            return {"$nor": [to_filter(inner, joins)]}
        case RefersTo() if joins is not None:
            return refers_to(condition, joins)
        case ReferredBy() if joins is not None:
            return referred_by(condition, joins)
    if isinstance(condition, Concepts | Hierarchy):
        raise BadRequest("Value sets, code systems and hierarchies cannot be asked for here.", code="not-supported")
    raise TypeError(f"{type(condition).__name__} needs a join, which has no place here.")


def shape_test(name: str, *, present: bool) -> Filter:
    """Return the test of shapes in which a parameter has a value, or has none."""
    test = {"$regex": f"(^|,){re.escape(name)}(,|$)"}
    return test if present else {"$not": test}


def _span(span: KeySpan) -> Filter:
    if not span.containing:
        others = {"$nin": list(span.but)} if span.but else {}
        return {"keys": {"$elemMatch": {"$gte": span.low, "$lt": span.high, **others}}}
    return {"keys": {"$regex": f"^{re.escape(span.low)}[^{SEPARATOR}]*{re.escape(span.containing)}"}}


def _within_distance(condition: WithinDistance) -> Filter:
    products = [{"$multiply": [f"$$this.{axis}", value]} for axis, value in zip("xyz", condition.centre, strict=True)]
    near = {"$gte": [{"$add": products}, condition.closeness]}
    places = {"$ifNull": [f"$ranges.{condition.name}", []]}
    return {"$expr": {"$anyElementTrue": [{"$map": {"input": places, "as": "this", "in": near}}]}}


def _range(condition: InRange) -> Filter:
    tests: dict[str, Filter] = {}
    for bound, operator, value in condition.tests:
        tests.setdefault(bound, {})[_OPERATORS[operator]] = value
    if condition.unit is not None:
        return {**tests, "u": condition.unit}
    return tests
