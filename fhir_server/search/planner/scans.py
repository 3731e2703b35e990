"""Which part of the key index to read for a condition: the narrowest of what its criteria imply.

A scan reads documents in an order in which a page can be resumed: by `_id` where it is for equal keys, else by key and
`_id`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from typing import TypeAlias

from fhir_server.search.index.keys import EVERY, SEPARATOR, unsorted_key
from fhir_server.search.params.dates import merged, window_spans
from fhir_server.search.planner.filters import shape_test
from fhir_server.search.planner.joins import Filter
from fhir_server.search.query.conditions import (
    All,
    AnyOf,
    Condition,
    HasId,
    HasKey,
    KeySpan,
    Narrowed,
    Not,
    Present,
    Updated,
    Window,
    leaves,
)


@dataclass(frozen=True, slots=True)
class Equal:
    """The documents with one of these keys, by `_id`."""

    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KeyRange:
    """The documents with a key in [low, high), by key and `_id`; each at the first such key."""

    low: str
    high: str


@dataclass(frozen=True, slots=True)
class Falling:
    """The documents with a key in [low, high), by falling key, then by `_id`; each at the last such key."""

    low: str
    high: str


@dataclass(frozen=True, slots=True)
class Collected:
    """The documents with a key in one of `read` and one in `among`, found by the former, collected and sorted."""

    read: tuple[KeyRange, ...]
    among: KeyRange


@dataclass(frozen=True, slots=True)
class Ids:
    """The documents with these ids, by `_id`."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UpdatedWalk:
    """The documents last updated from `low` until before `high`, by that time, then by `_id`."""

    low: datetime | None
    high: datetime | None
    descending: bool = True


@dataclass(frozen=True, slots=True)
class PresenceScan:
    """The documents that have a value for the parameter, or that have none, by `_id`."""

    name: str
    present: bool


Scan: TypeAlias = Equal | KeyRange | Falling | Collected | Ids | UpdatedWalk | PresenceScan
ALL = Equal((EVERY,))


@dataclass(frozen=True, slots=True)
class AccessPath:
    """Scans that together read every match of a condition.

    The lower the rank, the fewer documents they are likely to read. `exact` scans read nothing but matches.
    """

    rank: int
    scans: tuple[Scan, ...]
    exact: bool = False


# Each scan leaves out what those before it have read, so that many of them would cost the square of their number.
_MOST_SCANS = 16
_PARAMETER = re.compile(r"[^\w\-]")

NARROW_RANK = 10
"""Identifiers and references: what is found by them is few, without counting."""
SELECTIVE_RANK = 40
EVERYTHING_RANK = 90


def drives(condition: Condition) -> tuple[AccessPath, ...]:
    """Return the scans to choose from for a condition, the likely narrowest first; all documents where nothing narrows
    it.
    """
    conditions = list(flat((condition,)))
    candidates = [_drive(each) for each in conditions]
    candidates += [_windowed(window, window_spans(window)) for window in _windows(conditions)]
    candidates += [_updated(conditions)]
    narrowing = sorted((each for each in candidates if each is not None), key=lambda each: (each.rank, len(each.scans)))
    if not narrowing:
        return (AccessPath(EVERYTHING_RANK, (ALL,), exact=not conditions),)
    if len(conditions) > 1:
        narrowing = [replace(each, exact=False) for each in narrowing]
    return tuple(narrowing)


def few_have(condition: Condition) -> tuple[str, ...]:
    """Return keys of which each match has one and that few resources have, where keys alone decide the condition.

    Empty where something else decides, or where there are no such keys.
    """
    if not all(isinstance(each, HasKey) for each in leaves(condition)):
        return ()
    match drives(condition)[0]:
        case AccessPath(rank, (Equal(keys),)) if rank <= NARROW_RANK:
            return keys
    return ()


def _drive(condition: Condition) -> AccessPath | None:
    match condition:
        case HasKey(keys):
            return AccessPath(max(map(_key_rank, keys), default=0), (Equal(keys),) if keys else (), exact=True)
        case KeySpan(low, high) if low >= high:
            # Two windows that exclude each other: nothing to read, and no bounds that the database would take.
            return AccessPath(0, (), exact=True)
        case KeySpan():
            return AccessPath(
                _span_rank(condition),
                (KeyRange(condition.low, condition.high),),
                exact=not (condition.containing or condition.but),
            )
        case HasId(ids):
            return AccessPath(0, (Ids(ids),))
        case Updated(operator, time):
            return AccessPath(60, (UpdatedWalk(None, time) if operator in ("<", "<=") else UpdatedWalk(time, None),))
        case Not(Present(name)):
            return AccessPath(80, (PresenceScan(name, present=False),))
        case Not(HasKey(keys)) if keys:
            return _complement(keys)
        case Present(name):
            return AccessPath(78, (PresenceScan(name, present=True),))
    return _combined(condition)


def _complement(keys: tuple[str, ...]) -> AccessPath | None:
    """Return scans of what has none of some token keys: the keys between them, what has no code, and what has no value.

    Where nearly all resources have the code, the few others are found without reading those.
    """
    plain = sorted({key for key in keys if "=" in key and "^" not in key.partition("=")[0]})
    names = {key.partition("=")[0] for key in plain}
    if len(names) != 1 or any("|" in name or ":" in name for name in names):
        return None
    name = names.pop()
    edges = [f"{name}=", *plain]
    walks = [KeyRange(low if low == edges[0] else f"{low}\x01", high) for low, high in pairwise([*edges, f"{name}>"])]
    return AccessPath(76, (*walks, Equal((unsorted_key(name),)), PresenceScan(name, present=False)))


def _combined(condition: Condition) -> AccessPath | None:
    match condition:
        case Narrowed(_, by, window):
            path = _windowed(window, by)
            return None if path is None else replace(path, exact=False)
        case All(conditions):
            return min(map(_drive_or_all, conditions), key=lambda each: each.rank, default=None)
        case AnyOf(conditions):
            return _together([_drive(each) for each in conditions])
    return None


def _drive_or_all(condition: Condition) -> AccessPath:
    path = _drive(condition)
    return AccessPath(EVERYTHING_RANK, (ALL,)) if path is None else replace(path, exact=False)


def _windowed(window: Window | None, by: Condition) -> AccessPath | None:
    path = _drive(by)
    if path is None or window is None:
        return path
    return AccessPath(35 if window.after is not None and window.before is not None else 70, path.scans)


def _together(drives: list[AccessPath | None]) -> AccessPath | None:
    paths = [each for each in drives if each is not None]
    if len(paths) < len(drives):
        return None
    scans = [scan for each in paths for scan in each.scans]
    keys = tuple(dict.fromkeys(key for scan in scans if isinstance(scan, Equal) for key in scan.keys))
    others = list(dict.fromkeys(scan for scan in scans if not isinstance(scan, Equal)))
    if len(others) > _MOST_SCANS:
        covering = _covering(others)
        return AccessPath(max(each.rank for each in paths), covering) if covering and not keys else None
    equal = (Equal(keys),) if keys else ()
    return AccessPath(
        max((each.rank for each in paths), default=0), (*equal, *others), all(each.exact for each in paths)
    )


def family(key: str) -> str:
    """Return the name and the mark with which a key begins."""
    mark = _PARAMETER.search(key)
    return key if mark is None else key[: mark.end()]


def _covering(scans: Sequence[Scan]) -> tuple[Scan, ...]:
    """Return one walk over all that many walks of one parameter read; none where they are not of such a kind."""
    walks = [scan for scan in scans if isinstance(scan, KeyRange)]
    names = {_PARAMETER.split(walk.low, maxsplit=1)[0] for walk in walks}
    if len(walks) < len(scans) or len(names) > 1:
        return ()
    return (KeyRange(min(walk.low for walk in walks), max(walk.high for walk in walks)),)


def flat(conditions: tuple[Condition, ...]) -> Iterator[Condition]:
    """Yield the conditions that must all hold, none of which is a conjunction."""
    for each in conditions:
        if isinstance(each, All):
            yield from flat(each.conditions)
        else:
            yield each


def _windows(conditions: list[Condition]) -> list[Window]:
    """Return, for each date parameter asked for more than once, what all its conditions imply together."""
    by_name: dict[str, list[Window]] = {}
    for each in conditions:
        if isinstance(each, Narrowed) and each.window is not None:
            by_name.setdefault(each.window.name, []).append(each.window)
    return [window for windows in by_name.values() if len(windows) > 1 and (window := merged(windows)) is not None]


def _updated(conditions: list[Condition]) -> AccessPath | None:
    tests = [each for each in conditions if isinstance(each, Updated)]
    low = max((each.time for each in tests if each.operator in (">", ">=")), default=None)
    high = min((each.time for each in tests if each.operator in ("<", "<=")), default=None)
    if low is None or high is None:
        return None
    return AccessPath(40, (UpdatedWalk(low, high),))


def within(scan: Scan) -> Filter:
    """Return the filter of the documents that a scan reads."""
    match scan:
        case Equal(keys):
            return {"keys": {"$in": list(keys)}}
        case KeyRange(low, high) | Falling(low, high):
            return {"keys": {"$elemMatch": {"$gte": low, "$lt": high}}}
        case Collected(read, among):
            reads = [within(each) for each in read]
            return {"$and": [reads[0] if len(reads) == 1 else {"$or": reads}, within(among)]}
        case Ids(ids):
            return {"_id": {"$in": list(ids)}}
        case UpdatedWalk(low, high):
            bounds = {**({"$gte": low} if low is not None else {}), **({"$lt": high} if high is not None else {})}
            return {"updated": bounds} if bounds else {}
        case PresenceScan(name, present):
            return {"shape": shape_test(name, present=present)}


# --- Ranks -------------------------------------------------------------------------------------------------------


def _key_rank(key: str) -> int:
    if key == EVERY:
        return EVERYTHING_RANK
    if key.startswith(("identifier", "url=")):
        return 5
    if "/" in key.partition(SEPARATOR)[0].partition("=")[2]:
        return 10
    return 20 if "$" in key else 50


def _span_rank(span: KeySpan) -> int:
    if span.containing:
        return 75
    if "$" in span.low:
        return 25
    fact = span.low.partition("=")[2]
    if fact:
        return 30 if len(fact) > 2 else 45
    return 65
