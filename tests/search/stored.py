"""Resources put into a database as the engine stores them, and searched by compiled queries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from fhir_server.r4.values import encode
from fhir_server.search.index import index
from fhir_server.search.parse import parse
from fhir_server.search.query import compile_query
from fhir_server.store.mongo import Database
from fhir_server.store.resources import Draft, ResourceStore
from fhir_server.store.search import SearchStore

NOW = datetime(2024, 5, 1, 12, 0, tzinfo=UTC)


def draft(resource: dict[str, Any], zone: str = "UTC") -> Draft:
    """Return the first version of a resource."""
    return Draft(
        type=resource["resourceType"],
        id=resource["id"],
        version=1,
        updated=NOW,
        method="PUT",
        json=encode(resource),
        resource=resource,
        index=index(resource, timezone=zone),
    )


async def store(database: Database, resources: Iterable[dict[str, Any]], zone: str = "UTC") -> None:
    """Store the resources."""
    by_type: dict[str, list[Draft]] = defaultdict(list)
    for resource in resources:
        by_type[resource["resourceType"]].append(draft(resource, zone))
    for drafts in by_type.values():
        await ResourceStore(database).insert_many(drafts)


async def found(
    database: Database, resource_type: str, pairs: Sequence[tuple[str, str]], zone: str = "UTC", limit: int = 100_000
) -> list[str]:
    """Return the ids of what a search finds, sorted."""
    query = parse((resource_type,), pairs, strict=True, timezone=zone, now=NOW)
    return sorted(await SearchStore(database).ids(compile_query(query), limit))
