"""Chains into contained resources: `MedicationRequest?medication.code=x` where the Medication is contained.

https://hl7.org/fhir/R4/search.html#contained

A contained resource that a reference parameter of its container leads to carries a mark, the parameter's name, or of a
resource that is referred to from a contained one `outer~inner`. Its index entry has the key `#mark`, and its keys stand
among those of the container as `mark~key`. What decides is the entry, so that facts of two contained resources are not
mixed up; the container's keys narrow what is read, and carry chains on to other resources.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from fhir_server.search.index.entry import Entry
from fhir_server.search.index.keys import EVERY, contained_key
from fhir_server.search.query.conditions import (
    NOTHING,
    All,
    AnyOf,
    Condition,
    HasId,
    HasKey,
    InTuple,
    KeySpan,
    Narrowed,
    Not,
    ReferredBy,
    RefersTo,
    Updated,
    WithinDistance,
    either,
    every,
    leaves,
)

_DEEPEST = 2
"""How many steps a chain can take from one contained resource to another."""

_WORDS = ("_text=", "_content=")


# --- Index -------------------------------------------------------------------------------------------------------


def marks(references: Iterable[tuple[str, str]], inner: Mapping[str, Entry]) -> dict[str, list[str]]:
    """Return the marks of each contained resource by its id.

    `references` are the container's (parameter, id), `inner` the entries of the contained resources by their id.
    """
    marks_by_id: dict[str, list[str]] = {}
    steps = [(name, resource_id) for name, resource_id in dict.fromkeys(references) if resource_id in inner]
    for _ in range(_DEEPEST):
        for mark, resource_id in steps:
            marks_by_id.setdefault(resource_id, []).append(mark)
        steps = [
            (f"{mark}~{name}", target)
            for mark, resource_id in steps
            for name, target in dict.fromkeys(inner[resource_id].contained_references)
            if target in inner
        ]
    return marks_by_id


def mark(entry: Entry, own: Entry, named: Iterable[str]) -> None:
    """Write the facts of a contained resource among those of its container, under its marks."""
    facts = [key for key in own.keys if not key.startswith(_WORDS)]
    for name in named:
        entry.keys.extend(f"{name}~{fact}" for fact in facts)
        for parameter, values in own.ranges.items():
            if _are_positions(values):
                entry.ranges.setdefault(f"{name}~{parameter}", []).extend(values)
        own.keys.append(f"#{name}")


def _are_positions(values: list[dict[str, Any]]) -> bool:
    return "x" in values[0]


# --- Search ------------------------------------------------------------------------------------------------------


def contained_chain(mark: str, targets: Mapping[str, Condition], depth: int = 1) -> Condition | None:
    """Return the condition that a resource contains one with the mark that meets the condition for its type.

    None where no contained resource can, as none has an id that others know it by.
    """
    conditions = [_of_type(mark, name, inner, depth) for name, inner in targets.items() if _own(inner) != NOTHING]
    return either(conditions) if conditions else None


def _of_type(mark: str, resource_type: str, condition: Condition, depth: int) -> Condition:
    """Return what a condition on a contained resource asks of its container."""
    if not any(isinstance(each, RefersTo | ReferredBy | WithinDistance) for each in leaves(condition)):
        held = every([HasKey((f"#{mark}",)), _own(condition)])
        return Narrowed(InTuple(contained_key(resource_type), held), _narrowing(mark, condition))
    match condition:
        case All(parts):
            return every([_of_type(mark, resource_type, each, depth) for each in parts])
        case AnyOf(parts):
            return either([_of_type(mark, resource_type, each, depth) for each in parts])
        case Not(inner):
            return every([_marked(mark, resource_type), Not(_of_type(mark, resource_type, inner, depth))])
        case Narrowed(test, _):
            return _of_type(mark, resource_type, test, depth)
    beyond = every([_marked(mark, resource_type), _elsewhere(mark, condition, depth)])
    return Narrowed(beyond, HasKey((f"{mark}~{EVERY}",)))


def _marked(mark: str, resource_type: str) -> Condition:
    return InTuple(contained_key(resource_type), HasKey((f"#{mark}",)))


def _elsewhere(mark: str, condition: Condition, depth: int) -> Condition:
    """Return what a contained resource's own chain, or its position, asks of the facts under its mark."""
    match condition:
        case RefersTo(name, targets):
            further = contained_chain(f"{mark}~{name}", targets, depth + 1) if depth < _DEEPEST else None
            return replace(condition, name=f"{mark}~{name}", contained=further)
        case WithinDistance(name):
            return replace(condition, name=f"{mark}~{name}")
    return NOTHING  # nothing else can refer to a contained resource


def _own(condition: Condition) -> Condition:
    """Return the condition without what a contained resource has not: an id of its own, and a time of update."""
    match condition:
        case HasId() | Updated():
            return NOTHING
        case All(parts):
            return All(tuple(map(_own, parts)))
        case AnyOf(parts):
            return AnyOf(tuple(map(_own, parts)))
        case Not(inner):
            return Not(_own(inner))
        case Narrowed(test, _):
            return replace(condition, test=_own(test))
    return condition


def _narrowing(mark: str, condition: Condition) -> Condition:
    """Return keys of the container that every match has one of."""
    match condition:
        case HasKey(keys) if keys and not any(key.startswith(_WORDS) for key in keys):
            return HasKey(tuple(f"{mark}~{key}" for key in keys))
        case KeySpan(low, high, _, but) if not low.startswith(_WORDS):
            moved = tuple(f"{mark}~{key}" for key in but)
            return replace(condition, low=f"{mark}~{low}", high=f"{mark}~{high}", but=moved)
        case Narrowed(_, by):
            return _narrowing(mark, by)
        case AnyOf(parts) if parts:
            return either([_narrowing(mark, each) for each in parts])
        case All(parts) if parts:
            return _narrowing(mark, parts[0])
    return HasKey((f"{mark}~{EVERY}",))
