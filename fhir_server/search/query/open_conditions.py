"""Resolving what a search asks of code systems and hierarchies: finding such conditions in a query, and putting answers
in their place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TypeAlias

from fhir_server.search.query.ast import Query
from fhir_server.search.query.conditions import (
    All,
    AnyOf,
    Concepts,
    Condition,
    Hierarchy,
    InTuple,
    Narrowed,
    Not,
    ReferredBy,
    RefersTo,
)

Open: TypeAlias = Concepts | Hierarchy


def open_conditions(query: Query) -> set[Open]:
    """Return the conditions of a query that are still to be resolved."""
    return {
        each for criterion in query.criteria for condition in criterion.conditions.values() for each in _open(condition)
    }


def _open(condition: Condition) -> Iterator[Open]:
    match condition:
        case Concepts() | Hierarchy():
            yield condition
        case All(parts) | AnyOf(parts):
            for part in parts:
                yield from _open(part)
        case Not(inner) | Narrowed(inner, _) | InTuple(_, inner):
            yield from _open(inner)
        case ReferredBy():
            yield from _open(condition.condition)
        case RefersTo(_, targets, _, contained):
            for inner in targets.values():
                yield from _open(inner)
            if contained is not None:
                yield from _open(contained)


def resolved(query: Query, answers: Mapping[Open, Condition]) -> Query:
    """Return the query with an answer in the place of each open condition."""
    criteria = tuple(
        replace(each, conditions={name: _resolved(condition, answers) for name, condition in each.conditions.items()})
        for each in query.criteria
    )
    return replace(query, criteria=criteria)


def _resolved(condition: Condition, answers: Mapping[Open, Condition]) -> Condition:
    match condition:
        case Concepts() | Hierarchy():
            return answers[condition]
        case All(parts):
            return All(tuple(_resolved(part, answers) for part in parts))
        case AnyOf(parts):
            return AnyOf(tuple(_resolved(part, answers) for part in parts))
        case Not(inner):
            return Not(_resolved(inner, answers))
        case Narrowed(inner, _):
            return replace(condition, test=_resolved(inner, answers))
        case InTuple(name, inner):
            return InTuple(name, _resolved(inner, answers))
        case ReferredBy():
            return replace(condition, condition=_resolved(condition.condition, answers))
        case RefersTo(_, targets, _, contained):
            resolved_targets = {target: _resolved(inner, answers) for target, inner in targets.items()}
            return replace(condition, targets=resolved_targets, contained=contained and _resolved(contained, answers))
    return condition
