"""Searching the first resource of a document or message: what `composition` and `message` of a Bundle lead to.

It stands inside the Bundle, so its facts are facts of the Bundle, under names that say so: a chain such as
`composition.patient` asks for `composition~patient` of the Bundle itself. There is one such resource in a Bundle, so
facts of two cannot be mixed up. https://hl7.org/fhir/R4/bundle.html#search
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from fhir_server.errors import BadRequest
from fhir_server.search.index.entry import Entry
from fhir_server.search.index.keys import EVERY
from fhir_server.search.query.conditions import (
    All,
    AnyOf,
    Condition,
    HasId,
    HasKey,
    KeySpan,
    Narrowed,
    Not,
    ReferredBy,
    RefersTo,
    Updated,
    Window,
)
from fhir_server.search.registry import Parameter

_FIRST = "Bundle.entry[0].resource"
_MARK = "~"


def is_embedded(parameter: Parameter) -> bool:
    """Return whether the parameter leads to a resource that stands inside the one that it is a parameter of."""
    return any(branch.startswith(_FIRST) for branch in parameter.branches)


def first_resource(bundle: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the resource of a Bundle's first entry."""
    entries = bundle.get("entry") or [{}]
    resource = entries[0].get("resource")
    return resource if isinstance(resource, dict) and "resourceType" in resource else None


def add(code: str, entry: Entry, inner: Entry, shape: str) -> Iterable[str]:
    """Add the facts of the embedded resource to those of its Bundle; return the names of the parameters present."""
    entry.keys.extend(_named(code, key) for key in inner.keys)
    entry.ranges.update((_named(code, name), ranges) for name, ranges in inner.ranges.items())
    return [_named(code, name) for name in shape.split(",") if name]


def inner_condition(code: str, target: str, condition: Condition) -> Condition:
    """Return what a condition on the embedded resource, of type `target`, asks of the Bundle; raises BadRequest."""
    match condition:
        case All(()):
            return HasKey((_named(code, EVERY),))
        case All(conditions) | AnyOf(conditions):
            return type(condition)(tuple(inner_condition(code, target, each) for each in conditions))
        case Not(inner):
            # What has no such resource is no match either.
            return All((HasKey((_named(code, EVERY),)), Not(inner_condition(code, target, inner))))
        case Narrowed(test, by, window):
            moved = window and Window(_named(code, window.name), window.after, window.before)
            return Narrowed(inner_condition(code, target, test), inner_condition(code, target, by), moved)
        case HasKey(keys):
            return HasKey(tuple(_named(code, key) for key in keys))
        case KeySpan(low, high, _, but):
            keys = tuple(_named(code, key) for key in but)
            return replace(condition, low=_named(code, low), high=_named(code, high), but=keys)
        case HasId(ids):
            return HasKey(tuple(f"{code}={target}/{resource_id}" for resource_id in ids))
        case RefersTo(name, _, _, contained) if contained is not None:
            return replace(condition, name=_named(code, name), contained=inner_condition(code, target, contained))
        case ReferredBy() | Updated():
            raise BadRequest(
                f"What {code!r} leads to stands inside the Bundle, so it has no _has and no _lastUpdated of its own.",
                code="not-supported",
            )
    return replace(condition, name=_named(code, condition.name))


def _named(code: str, fact: str) -> str:
    return f"{code}{_MARK}{fact}"
