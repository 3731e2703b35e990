"""Conditions in words, for people who ask why a search is slow, or finds what it finds."""

from __future__ import annotations

from fhir_server.search.index.keys import SEPARATOR
from fhir_server.search.planner.scans import Collected, Equal, Falling, Ids, KeyRange, PresenceScan, Scan
from fhir_server.search.query.conditions import (
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
    WithinDistance,
)

_SHOWN = 10


def describe(condition: Condition) -> str:
    """Return what a condition asks."""
    match condition:
        case HasKey(keys):
            return f"key {_listed(keys)}"
        case KeySpan(low, high, containing):
            within = f" with {containing!r} in it" if containing else ""
            return f"a key from {_shown(low)!r} to {_shown(high)!r}{within}"
        case InRange(name, tests):
            return f"{name} with " + " and ".join(
                f"{'start' if end == 'l' else 'end'} {sign} {to}" for end, sign, to in tests
            )
        case InTuple(name, inner):
            return f"one {name} with ({describe(inner)})"
        case Present(name):
            return f"a value for {name}"
        case HasId(ids):
            return f"id {_listed(ids)}"
        case Updated(operator, time):
            return f"last updated {operator} {time.isoformat()}"
        case WithinDistance(name):
            return f"{name} within the distance"
        case Narrowed(test, _):
            return describe(test)
    return _joined(condition)


def _joined(condition: Condition) -> str:
    match condition:
        case All(()):
            return "anything"
        case AnyOf(()):
            return "nothing"
        case All(parts):
            return " and ".join(f"({describe(part)})" for part in parts)
        case AnyOf(parts):
            return " or ".join(f"({describe(part)})" for part in parts)
        case Not(inner):
            return f"not ({describe(inner)})"
        case RefersTo(name, targets):
            conditions = " or ".join(
                f"a {target} with ({describe(inner)})" for target, inner in list(targets.items())[:_SHOWN]
            )
            return f"{name} leads to {conditions}"
        case ReferredBy(source, name, inner, _):
            return f"a {source} with ({describe(inner)}) refers to it by {name}"
    return type(condition).__name__


def describe_scan(scan: Scan) -> str:
    """Return what a scan reads."""
    match scan:
        case Equal(keys):
            return f"key {_listed(keys)}"
        case KeyRange(low, high):
            return f"keys from {_shown(low)!r} to {_shown(high)!r}"
        case Falling(low, high):
            return f"keys from {_shown(high)!r} down to {_shown(low)!r}"
        case Collected(read, among):
            reads = " or ".join(map(describe_scan, read))
            return f"{reads} that have {describe_scan(among)} too, collected and sorted"
        case Ids(ids):
            return f"id {_listed(ids)}"
        case PresenceScan(name, present):
            return f"documents {'with' if present else 'without'} {name}"
    return "documents by time of update"


def _listed(values: tuple[str, ...]) -> str:
    shown = " or ".join(repr(_shown(value)) for value in values[:_SHOWN])
    return shown + (f" or {len(values) - _SHOWN} more" if len(values) > _SHOWN else "")


def _shown(key: str) -> str:
    return key.replace(SEPARATOR, "␟")
