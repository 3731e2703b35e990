"""What a resource must have in its index entry to meet a condition: so that many conditions can be looked up by an
entry instead of each being tried on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os.path import commonprefix
from typing import Any

from fhir_server.search.index.keys import EVERY, after_prefix
from fhir_server.search.query.conditions import (
    All,
    AnyOf,
    Condition,
    HasId,
    HasKey,
    KeySpan,
    Narrowed,
    Present,
    ReferredBy,
    RefersTo,
    leaves,
)

Feature = tuple[str, str]
"""Something that an entry has: ("key", a key), ("begins", what a key begins with), ("id", its id) or ("has", the name
of a parameter with a value)."""

Required = frozenset[Feature]
"""Of these features a resource that meets the condition has at least one; without any, nothing meets it."""

_STEP = 3
_MOST_FEATURES = 1000
"""A condition that asks for one of more is not looked up by them: they would take more room than they save time."""


def required(condition: Condition) -> list[Required]:
    """Return the sets of features of each of which a match has at least one; none where nothing simple is required."""
    match condition:
        case HasKey(keys):
            sets = [frozenset(("key", key) for key in keys)] if EVERY not in keys else []
        case HasId(ids):
            sets = [frozenset(("id", resource_id) for resource_id in ids)]
        case KeySpan(low, high):
            beginning = _beginning(low, high)
            sets = [frozenset({("begins", beginning)})] if beginning else []
        case Present(name):
            sets = [frozenset({("has", name)})]
        case All(parts):
            sets = [one for part in parts for one in required(part)]
        case AnyOf(parts):
            sets = _either(parts)
        case Narrowed(test, by):
            sets = [*required(test), *required(by)]
        case _:
            sets = []
    return [one for one in sets if len(one) <= _MOST_FEATURES]


def _either(parts: Iterable[Condition]) -> list[Required]:
    """Return what is required where one of several conditions must hold: something of each of them."""
    joined: frozenset[Feature] = frozenset()
    for part in parts:
        options = required(part)
        if not options:
            return []
        joined |= min(options, key=len)
    return [joined]


def _beginning(low: str, high: str) -> str:
    """Return what all texts from `low` until before `high` begin with, or a part of that: of few different lengths."""
    shared = low if low and high == after_prefix(low) else commonprefix((low, high))  # noqa: RUF071 - no paths
    return shared[: len(shared) - len(shared) % _STEP]


def features(entry: Mapping[str, Any], lengths: Iterable[int]) -> Iterable[Feature]:
    """Yield the features of an index entry; of what its keys begin with, the beginnings of those lengths."""
    yield "id", entry["_id"]
    for name in entry["shape"].split(","):
        yield "has", name
    sorted_lengths = sorted(lengths)
    for key in entry["keys"]:
        yield "key", key
        for length in sorted_lengths:
            if length > len(key):
                break
            yield "begins", key[:length]


def needs_others(condition: Condition) -> bool:
    """Return whether other resources decide on the condition, so that one alone cannot be judged by it."""
    return any(isinstance(leaf, RefersTo | ReferredBy) for leaf in leaves(condition))
