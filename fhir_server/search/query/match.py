"""The same conditions decided in memory, on what `index` returns of a resource: for subscriptions, and to check the
database by.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from fhir_server.search.index.index import index
from fhir_server.search.index.keys import SEPARATOR
from fhir_server.search.query.ast import Query
from fhir_server.search.query.conditions import (
    All,
    AnyOf,
    Condition,
    HasId,
    HasKey,
    HasText,
    InRange,
    InTuple,
    KeySpan,
    Narrowed,
    Not,
    Present,
    Updated,
    WithinDistance,
)

_COMPARE: Mapping[str, Any] = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def matches(query: Query, resource: dict[str, Any], *, timezone: str = "UTC", base_url: str = "") -> bool:
    """Return whether a resource meets the criteria; raises ValueError for those that need other resources (chains)."""
    if resource["resourceType"] not in query.types:
        return False
    entry = index_entry(resource, timezone, base_url)
    return holds(query.condition(resource["resourceType"]), entry)


def unmet(query: Query, resource: dict[str, Any], *, timezone: str = "UTC", base_url: str = "") -> list[str]:
    """Return the names of the criteria that a resource does not meet; those that need other resources are left out."""
    return unmet_by(query, resource["resourceType"], index_entry(resource, timezone, base_url))


def unmet_by(query: Query, resource_type: str, entry: Mapping[str, Any]) -> list[str]:
    """Return the names of the criteria that the resource of an index entry does not meet, as `unmet` does."""
    names = []
    for criterion in query.criteria:
        try:
            met = holds(criterion.conditions[resource_type], entry)
        except ValueError:
            continue
        if not met:
            names.append(criterion.name)
    return names


def index_entry(resource: dict[str, Any], timezone: str, base_url: str) -> dict[str, Any]:
    """Return what `holds` decides on: the index entry of a resource, with its `_id` and `updated`."""
    entry = index(resource, timezone=timezone, base_url=base_url)
    entry["_id"] = resource.get("id")
    entry["updated"] = (resource.get("meta") or {}).get("lastUpdated")
    return entry


def holds(condition: Condition, entry: Mapping[str, Any]) -> bool:  # noqa: C901, PLR0912 - one branch for each condition
    """Return whether an index entry (with `_id` and `updated` beside it) meets a condition."""
    match condition:
        case HasKey(keys):
            return not set(keys).isdisjoint(entry["keys"])
        case KeySpan():
            return any(_in_span(condition, key) for key in entry["keys"])
        case InRange():
            return any(_in_range(condition, stored) for stored in entry.get("ranges", {}).get(condition.name, ()))
        case WithinDistance(name, centre, closeness):
            return any(_near(stored, centre) >= closeness for stored in entry.get("ranges", {}).get(name, ()))
        case HasText(name, text):
            return any(text in stored["t"] for stored in entry.get("ranges", {}).get(name, ()))
        case InTuple(name, within):
            return any(holds(within, stored) for stored in entry.get("ranges", {}).get(name, ()))
        case Present(name):
            return name in entry["shape"].split(",")
        case HasId(ids):
            return entry["_id"] in ids
        case Updated(sign, time):
            return entry["updated"] is not None and bool(_COMPARE[sign](_time(entry["updated"]), time))
        case Narrowed(test, _):
            return holds(test, entry)
        case All(conditions):
            return all(holds(each, entry) for each in conditions)
        case AnyOf(conditions):
            return any(holds(each, entry) for each in conditions)
        case Not(inner):
            return not holds(inner, entry)
    raise ValueError("A condition on other resources cannot be decided on one alone.")


def _near(position: Mapping[str, float], centre: tuple[float, float, float]) -> float:
    return position["x"] * centre[0] + position["y"] * centre[1] + position["z"] * centre[2]


def _in_span(span: KeySpan, key: str) -> bool:
    if not span.low <= key < span.high or key in span.but:
        return False
    if not span.containing:
        return True
    text, separator, _ = key[len(span.low) :].partition(SEPARATOR)
    return span.containing in text + separator


def _in_range(condition: InRange, stored: Mapping[str, Any]) -> bool:
    if condition.unit is not None and condition.unit not in stored.get("u", ()):
        return False
    return all(_COMPARE[sign](stored[bound], value) for bound, sign, value in condition.tests)


def _time(value: str | datetime) -> datetime:
    return datetime.fromisoformat(value) if isinstance(value, str) else value
