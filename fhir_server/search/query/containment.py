"""Searching contained resources: `_contained` and `_containedType`. https://hl7.org/fhir/R4/search.html#contained

A contained resource has an index entry of its own within that of its container, so the conditions on it are the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fhir_server.errors import BadRequest
from fhir_server.search.index.index import index
from fhir_server.search.index.keys import contained_key
from fhir_server.search.query.ast import Query
from fhir_server.search.query.conditions import (
    Condition,
    HasKey,
    InTuple,
    Narrowed,
    ReferredBy,
    RefersTo,
    Updated,
    either,
    leaves,
)
from fhir_server.search.query.match import holds


def in_containers(query: Query, types: Sequence[str]) -> Query:
    """Return the query for resources of any of `types` that contain a match of a query for one type.

    With `_contained=both`, for matches of their own too. Raises BadRequest for what is not known of contained
    resources.
    """
    if len(query.types) != 1:
        raise BadRequest("_contained needs a search of one type.", code="not-supported")
    if any(key.kind not in {"_id", "_lastUpdated"} for key in query.sort):
        raise BadRequest("A search of contained resources is sorted by _id or _lastUpdated only.", code="not-supported")
    name = query.types[0]
    condition = query.condition(name)
    if any(isinstance(each, RefersTo | ReferredBy | Updated) for each in leaves(condition)):
        raise BadRequest("A search of contained resources has no chains and no _lastUpdated.", code="not-supported")
    held = Narrowed(InTuple(contained_key(name), condition), HasKey((contained_key(name),)))
    within: dict[str, Condition] = dict.fromkeys(types, held)
    if query.contained == "both":
        within[name] = either([condition, held])
    return replace(query, types=tuple(types), criteria=(), within=within)


def contained_matches(query: Query, container: Mapping[str, Any], timezone: str, base_url: str) -> list[dict[str, Any]]:
    """Return the resources in a container that meet the query."""
    name = query.types[0]
    condition = query.condition(name)
    matches = []
    for resource in container.get("contained", ()):
        if resource.get("resourceType") == name:
            entry = index(resource, timezone=timezone, base_url=base_url)
            if holds(condition, {**entry, "_id": resource.get("id", "")}):
                matches.append(resource)
    return matches
