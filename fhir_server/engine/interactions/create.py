"""The create interaction, conditional or not. https://hl7.org/fhir/R4/http.html#create."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fhir_server.engine import versions, writes
from fhir_server.engine.context import Context, Request, Response
from fhir_server.engine.interactions.conditional import condition_key, criteria, find_matches, find_one, warnings_of
from fhir_server.errors import Conflict
from fhir_server.search.query.ast import Query
from fhir_server.store.resources.resources import AlreadyExists
from fhir_server.work.threads import sized

_ATTEMPTS = 50


async def create(context: Context, request: Request, resource_type: str) -> Response:
    """Store a new resource under an id of the server's choosing: 201, or 200 with the one that If-None-Exist finds."""
    resource = await versions.checked(context, request, resource_type)
    if request.if_none_exist is None:
        return await create_as(context, resource, versions.new_id(), size=request.size)
    return await create_unless_found(context, resource, resource_type, request.if_none_exist, "POST", size=request.size)


async def create_as(
    context: Context,
    resource: dict[str, Any],
    resource_id: str,
    method: str = "POST",
    condition: str | None = None,
    *,
    size: int = 0,
    criteria: Query | None = None,
) -> Response:
    """Store a checked resource of about that size under a new id: 201; says where it does not meet what was asked."""
    made = await sized(size, versions.draft, context, resource, resource_id, method, None, condition=condition)
    response = await writes.insert(context, made)
    answer = versions.answer(201, made)
    return replace(answer, warnings=response if criteria is None else (*response, *warnings_of(criteria, made)))


async def create_unless_found(
    context: Context, resource: dict[str, Any], resource_type: str, query: str, method: str, *, size: int
) -> Response:
    """Create the resource unless one meets the criteria; parallel callers with the same criteria make one.

    The criteria's key is unique in the database, so of two that both found nothing one insert is refused, and that one
    looks again.
    """
    condition = await criteria(context, resource_type, query, resource)
    key = condition_key(context, resource_type, condition)
    for _ in range(_ATTEMPTS):
        matches = await find_matches(context, condition)
        existing = matches.one
        if existing is not None:
            if matches.confirmed or await context.services.resources.confirmed(existing):
                return versions.answer(200, existing)
            continue
        try:
            return await create_as(context, resource, versions.new_id(), method, key, size=size, criteria=condition)
        except AlreadyExists:
            await _release_unless_met(context, condition, resource_type, key)
    raise Conflict(f"{resource_type}?{query} was made and changed by others all the time; try again.")


async def _release_unless_met(context: Context, condition: Query, resource_type: str, key: str) -> None:
    """Take the criteria's key from a holder that no longer meets them; raises Unavailable where there is no majority.

    A search sees only what a majority has. A holder that it does not find may be too new for it, and must not lose the
    key: so what could be read until now is waited for, and then looked for again.
    """
    if await find_one(context, condition) is not None:
        return
    resources = context.services.resources
    holder = await resources.holder(resource_type, key)
    if holder is None:
        return
    await context.services.database.wait_for_majority()
    if await find_one(context, condition) is None:
        await resources.release_conditions(resource_type, [key], holder=holder)
