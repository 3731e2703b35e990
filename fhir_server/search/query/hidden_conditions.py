"""Resolving what the blind keys of an encrypted database cannot decide: finding such conditions in a query, and putting
the ids of what meets them in their place.

Such are: what a text contains, phrases, and beginnings longer than those that have a hash.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from fhir_server.search.index.blind_keys import LETTERS, BlindKeys
from fhir_server.search.index.keys import after_prefix
from fhir_server.search.query.ast import Query
from fhir_server.search.query.conditions import (
    EVERYTHING,
    All,
    AnyOf,
    Condition,
    HasId,
    HasText,
    InTuple,
    KeySpan,
    Narrowed,
    Not,
    ReferredBy,
    RefersTo,
    every,
    leaves,
)

Place: TypeAlias = tuple[str, Condition]
"""A resource type, and a condition on it."""


@dataclass(frozen=True, slots=True)
class Hidden:
    """A condition on resources of a type that blind keys cannot decide; every match meets `narrowing`, too."""

    type: str
    condition: Condition
    narrowing: Condition


def hidden_conditions(query: Query, blind: BlindKeys) -> dict[Place, Hidden]:
    """Return the conditions of a query that the database cannot decide."""
    return {
        (each.type, each.condition): each
        for name in query.types
        for each in _hidden(query.condition(name), name, EVERYTHING, blind)
    }


def _hidden(condition: Condition, resource_type: str, within: Condition, blind: BlindKeys) -> Iterator[Hidden]:
    match condition:
        case KeySpan() | HasText() | InTuple():
            if _is_hidden(condition, blind):
                yield Hidden(resource_type, condition, every([within, _implied(condition, blind)]))
        case All(parts):
            stated = [part for part in parts if _is_stated(part, blind)]
            for part in parts:
                yield from _hidden(part, resource_type, every([within, *stated]), blind)
        case AnyOf(parts):
            for part in parts:
                yield from _hidden(part, resource_type, within, blind)
        case Not(inner):
            yield from _hidden(inner, resource_type, within, blind)
        case Narrowed(inner, by):
            stated = [by] if _is_stated(by, blind) else []
            yield from _hidden(inner, resource_type, every([within, *stated]), blind)
        case ReferredBy() | RefersTo():
            yield from _beyond(condition, resource_type, blind)


def _beyond(condition: ReferredBy | RefersTo, resource_type: str, blind: BlindKeys) -> Iterator[Hidden]:
    """Yield such conditions on other resources."""
    if isinstance(condition, ReferredBy):
        yield from _hidden(condition.condition, condition.source, EVERYTHING, blind)
        return
    for target, inner in condition.targets.items():
        yield from _hidden(inner, target, EVERYTHING, blind)
    if condition.contained is not None:
        yield from _hidden(condition.contained, resource_type, EVERYTHING, blind)


def _is_hidden(condition: Condition, blind: BlindKeys) -> bool:
    match condition:
        case HasText():
            return True
        case KeySpan(low, high, containing):
            return low < high and (bool(containing) or blind.span(low, high) is None)
        case InTuple(_, inner):
            return any(_is_hidden(leaf, blind) for leaf in leaves(inner))
    return False


def _is_stated(condition: Condition, blind: BlindKeys) -> bool:
    """Return whether the database decides a condition by itself, and without other resources."""
    return not any(isinstance(leaf, ReferredBy | RefersTo) or _is_hidden(leaf, blind) for leaf in leaves(condition))


def _implied(condition: Condition, blind: BlindKeys) -> Condition:
    """Return what every match of a condition meets and the database can decide."""
    match condition:
        case KeySpan(low, high, containing):
            if containing:
                return KeySpan(low, high) if blind.span(low, high) is not None else EVERYTHING
            beginning = low[: low.index("=") + 1 + LETTERS] if "=" in low and high == after_prefix(low) else ""
            if beginning and blind.span(beginning, after_prefix(beginning)) is not None:
                return KeySpan(beginning, after_prefix(beginning))
    return EVERYTHING


def decided(query: Query, ids: Mapping[Place, HasId]) -> Query:
    """Return the query with the ids of what meets it in the place of each such condition."""
    criteria = tuple(
        replace(each, conditions={name: _decided(inner, name, ids) for name, inner in each.conditions.items()})
        for each in query.criteria
    )
    return replace(query, criteria=criteria)


def _decided(condition: Condition, resource_type: str, ids: Mapping[Place, HasId]) -> Condition:
    if isinstance(condition, KeySpan | HasText | InTuple):
        return ids.get((resource_type, condition), condition)
    match condition:
        case All(parts) | AnyOf(parts):
            return type(condition)(tuple(_decided(part, resource_type, ids) for part in parts))
        case Not(inner):
            return Not(_decided(inner, resource_type, ids))
        case Narrowed(inner, _):
            return replace(condition, test=_decided(inner, resource_type, ids))
        case ReferredBy():
            return replace(condition, condition=_decided(condition.condition, condition.source, ids))
        case RefersTo(_, targets, _, contained):
            inner_targets = {target: _decided(inner, target, ids) for target, inner in targets.items()}
            within = contained and _decided(contained, resource_type, ids)
            return replace(condition, targets=inner_targets, contained=within)
    return condition
