"""Contained resources: the invariants dom-2 to dom-5, written out because their FHIRPath forms search the whole tree.

https://hl7.org/fhir/R4/references.html#contained
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fhir_server.r4.validation.faults import Fault, Faults, Scope, shown
from fhir_server.r4.validation.narrative import local_links

CHECKED_BY_CODE = frozenset(("dom-2", "dom-3", "dom-4", "dom-5"))
"""The invariants that this module holds."""

_VERSIONED = "dom-4: A contained resource SHALL NOT have a meta.versionId or a meta.lastUpdated."
_LABELLED = "dom-5: A contained resource SHALL NOT have a security label."
_NESTED = "dom-2: A contained resource SHALL NOT contain resources."
_UNUSED = "dom-3: A contained resource SHALL be referred to from the resource, or refer to it."


def contained_faults(resource: dict[str, Any]) -> list[Fault]:
    """Return what a contained resource must not have: resources of its own, a version, a security label."""
    faults = [Fault(".contained", "invariant", _NESTED)] if "contained" in resource else []
    meta = resource.get("meta")
    if isinstance(meta, dict):
        faults.extend(
            Fault(f".meta.{name}", "invariant", _VERSIONED) for name in ("versionId", "lastUpdated") if name in meta
        )
        if "security" in meta:
            faults.append(Fault(".meta.security", "invariant", _LABELLED))
    return faults


def contained_are_used(resource: dict[str, Any], _scope: Scope) -> Faults:
    """Check that every contained resource has its own id, and is referred to by its `#id` or refers to its container.

    The links and images of a narrative are references too.
    """
    contained = resource.get("contained")
    if not isinstance(contained, list):
        return None
    issues = _used_twice(contained)
    # Only references and URIs can hold "#id" on purpose, so the types of the elements need no looking up.
    local: set[str] = set()
    for text in _strings(resource):
        if text.startswith("#"):
            local.add(text)
        elif text.startswith("<div"):
            local |= local_links(text)
    issues += [
        Fault(f".contained[{index}]", "invariant", _UNUSED)
        for index, each in enumerate(contained)
        if isinstance(each, dict) and f"#{each.get('id')}" not in local and "#" not in set(_strings(each))
    ]
    return issues or None


def _used_twice(contained: list[Any]) -> list[Fault]:
    """Return a fault for each contained resource whose id another before it has."""
    seen: set[str] = set()
    faults = []
    for index, each in enumerate(contained):
        id_ = each.get("id") if isinstance(each, dict) else None
        if isinstance(id_, str):
            if id_ in seen:
                faults.append(
                    Fault(f".contained[{index}].id", "duplicate", f"{shown(id_)} is the id of two resources.")
                )
            seen.add(id_)
    return faults


def _strings(node: object) -> Iterator[str]:
    pending = [node]
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)
