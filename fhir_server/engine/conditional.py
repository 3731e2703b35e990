"""Criteria of conditional interactions: which resources they find, and the key that keeps parallel callers apart.

https://hl7.org/fhir/R4/http.html#cond-update
"""

from __future__ import annotations

import hashlib
from urllib.parse import parse_qsl

from fhir_server.engine.context import Context
from fhir_server.engine.settle import settle
from fhir_server.errors import BadRequest, PreconditionFailed
from fhir_server.search.ast import Query
from fhir_server.search.parse import parse
from fhir_server.search.query import compile_query
from fhir_server.search.url import to_url
from fhir_server.store.resources import Version


def criteria(context: Context, resource_type: str, query: str) -> Query:
    """Return the query tree of a conditional interaction's criteria.

    Raises BadRequest where they are empty or name an unknown parameter: a condition that is ignored matches everything.
    """
    context.access.require("search-type", resource_type)
    pairs = parse_qsl(query.lstrip("?"), keep_blank_values=True)
    timezone = context.services.settings.default_timezone
    parsed = parse((resource_type,), pairs, strict=True, timezone=timezone, base_url=context.base_url)
    if parsed.unconditional:
        raise BadRequest(f"A conditional {resource_type} interaction needs search criteria.", code="required")
    if parsed.results or parsed.includes:
        # Who says _count=1 beside _multiple=true would not expect that all matches are deleted.
        raise BadRequest(
            "The criteria of a conditional interaction only select; _count and its like have no place there."
        )
    return parsed


def condition_key(context: Context, resource_type: str, query: Query) -> str:
    """Return the key under which only one resource may be created: a hash of the criteria, however they were spelt.

    What the caller may see is a part of it, since for another caller the same criteria find something else.
    """
    seen = context.access.where(resource_type)
    text = f"{resource_type}?{to_url(query)}" + (f" {seen}" if seen is not None else "")
    return hashlib.sha256(text.encode()).hexdigest()[:40]


async def find_one(context: Context, query: Query) -> Version | None:
    """Return the one resource that meets the criteria, or None; raises PreconditionFailed where there are several."""
    ids = await find_all(context, query, 2)
    if len(ids) > 1:
        raise PreconditionFailed(f"{to_url(query)} finds several resources.", code="multiple-matches")
    if not ids:
        return None
    found = await context.services.resources.read(query.types[0], ids[0], session=context.session)
    return None if found is None or found.deleted else found


async def find_all(context: Context, query: Query, limit: int) -> list[str]:
    """Return the ids of at most `limit` resources that meet the criteria and that the caller may see."""
    plan = compile_query(await settle(context, query), access=context.access.visible)
    return await context.services.search.ids(plan, limit, session=context.session)
