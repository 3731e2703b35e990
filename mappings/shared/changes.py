"""Carrying the change of a row over to its resource, so that what others wrote there stays.

A mapping knows a few elements of a resource; an EHR vendor's Patient has many more. So a changed row does not replace
the resource: the difference between what the old row and the new row map to is applied to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mappings.shared.elements import Resource


def changed(resource: Resource, before: Resource, after: Resource) -> dict[str, Any]:
    """Return the resource with the difference between `before` and `after` applied.

    `before` is what the row mapped to and `after` what the changed row does. An element equal in both stays as the
    resource has it; an item of a list is found in the resource by what it has in common with the one it replaces.
    """
    return _object(resource, before, after)


def _object(current: Mapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(current)
    for name in (*before, *(name for name in after if name not in before)):
        if before.get(name) == after.get(name):
            continue
        value = _value(current.get(name), before.get(name), after.get(name))
        if value is None:
            result.pop(name, None)
        else:
            result[name] = value
    return result


def _value(current: Any, before: Any, after: Any) -> Any:
    if isinstance(current, Mapping) and isinstance(before, Mapping | None) and isinstance(after, Mapping | None):
        return _object(current, before or {}, after or {}) or None
    if isinstance(current, list) and _of_objects(current, before, after):
        return _items(current, before or [], after or []) or None
    return after


def _of_objects(*lists: Any) -> bool:
    return all(isinstance(item, Mapping) for items in lists for item in items or ())


def _items(current: list[Any], before: list[Any], after: list[Any]) -> list[Any]:
    result: list[Any] = list(current)
    pairs, added = _pairs(
        [item for item in before if item not in after], [item for item in after if item not in before]
    )
    for old, new in pairs:
        place = _place(result, old, before)
        if place is None:
            added = [*added, new] if new else added
        elif new is None:
            del result[place]
        else:
            result[place] = _object(result[place], old, new)
    return [*result, *added]


def _pairs(gone: list[Any], come: list[Any]) -> tuple[list[tuple[Any, Any]], list[Any]]:
    # An item that is replaced by another keeps something: an extension its url, a contact point its system.
    left, pairs = list(come), []
    for old in gone:
        scores = [_in_common(old, new) for new in left]
        best = max(scores, default=0)
        pairs.append((old, left.pop(scores.index(best)) if best else None))
    if len(pairs) == len(left) == 1 and pairs[0][1] is None:
        return [(gone[0], left[0])], []
    return pairs, left


def _place(items: list[Any], sought: Mapping[str, Any], before: list[Any]) -> int | None:
    scores = [_in_common(item, sought) for item in items]
    best = max(scores, default=0)
    if best:
        return scores.index(best)
    return before.index(sought) if len(items) == len(before) else None


def _in_common(left: Any, right: Any) -> int:
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return sum(_in_common(value, right[name]) for name, value in left.items() if name in right)
    if isinstance(left, list) and isinstance(right, list):
        return sum(1 for item in left if item in right)
    return int(left == right and type(left) is type(right))
