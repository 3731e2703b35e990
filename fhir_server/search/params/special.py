"""The parameters that every type has and that are no paths into the resource: `_id`, `_lastUpdated`, `_list`, `_text`,
`_content`.

https://hl7.org/fhir/R4/search.html#all
"""

from __future__ import annotations

from datetime import datetime, timedelta

from fhir_server.errors import BadRequest, TooLarge
from fhir_server.search.params import words
from fhir_server.search.params.dates import approximately, date_range
from fhir_server.search.params.prefixes import split_prefix
from fhir_server.search.params.reading import Scope
from fhir_server.search.query.conditions import (
    EVERYTHING,
    NOTHING,
    Condition,
    HasId,
    Not,
    ReferredBy,
    Updated,
    either,
    every,
)
from fhir_server.search.query.values import split, unescape

NAMES = frozenset({"_id", "_lastUpdated", "_list", "_text", "_content", "_query"})


_LONGEST_TEXT = 5000


def condition(resource_type: str, name: str, modifier: str | None, value: str, scope: Scope) -> Condition:
    """Return what one of these parameters asks; raises BadRequest."""
    if name == "_query":
        raise BadRequest(f"There is no named query {value[:40]!r}.", code="not-supported")
    if modifier == "missing" and name in {"_id", "_lastUpdated"}:
        if value not in ("true", "false"):
            raise BadRequest(f"{name}:missing is true or false, not {value[:40]!r}.", code="value")
        return NOTHING if value == "true" else EVERYTHING
    if modifier is not None and (name, modifier) != ("_id", "not"):
        raise BadRequest(f"The modifier {modifier[:40]!r} is not one that {name} takes.", code="not-supported")
    if name == "_id":
        ids = HasId(tuple(dict.fromkeys(unescape(part) for part in split(value, ","))))
        return Not(ids) if modifier else ids
    if name in {words.TEXT, words.CONTENT}:
        if len(value) > _LONGEST_TEXT:
            raise TooLarge(f"{name} takes at most {_LONGEST_TEXT} characters.", code="too-costly")
        try:
            return words.condition(resource_type, name, value)
        except ValueError as error:
            raise BadRequest(f"The value {value[:80]!r} of {name!r} cannot be read: {error}.", code="value") from error
    if name == "_list":
        return _list(resource_type, value)
    return either([_updated(unescape(part), scope) for part in split(value, ",")])


def _list(resource_type: str, value: str) -> Condition:
    if value.startswith("$"):
        raise BadRequest(f"The functional list {value[:40]!r} is not defined here.", code="not-supported")
    return ReferredBy("List", "item", HasId((unescape(value),)), resource_type)


def _updated(text: str, scope: Scope) -> Condition:
    prefix, value = split_prefix(text)
    try:
        low, high = date_range(value.replace(" ", "+"), scope.timezone)
    except ValueError as error:
        raise BadRequest(
            f"The value {text[:80]!r} of '_lastUpdated' cannot be read as a date: {error}.", code="value"
        ) from error
    if prefix == "ap":
        low, high = approximately(low, high, scope.now)
    # Times are stored to the millisecond, so a bound within one means the next.
    low, high = _whole_millisecond(low), _whole_millisecond(high)
    match prefix:
        case "gt" | "sa":
            return Updated(">=", high)
        case "lt" | "eb":
            return Updated("<", low)
        case "ge":
            return Updated(">=", low)
        case "le":
            return Updated("<", high)
        case "ne":
            return either([Updated("<", low), Updated(">=", high)])
    return every([Updated(">=", low), Updated("<", high)])


def _whole_millisecond(time: datetime) -> datetime:
    """Return the first whole millisecond not before a time; at the end of time, the last there is."""
    rest = timedelta(microseconds=-time.microsecond % 1000)
    return time if time.replace(tzinfo=None) > datetime.max - rest else time + rest
