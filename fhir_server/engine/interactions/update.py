"""The update interaction, conditional or not, and update as create. https://hl7.org/fhir/R4/http.html#update."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fhir_server.engine import versions, writes
from fhir_server.engine.context import Context, Request, Response
from fhir_server.engine.interactions.conditional import criteria, find_one, warnings
from fhir_server.engine.interactions.create import create_unless_found
from fhir_server.engine.interactions.preconditions import require_match
from fhir_server.engine.subscriptions import registration
from fhir_server.errors import BadRequest, Conflict
from fhir_server.search.query.ast import Query
from fhir_server.store.resources.resources import Version


async def update(context: Context, request: Request, resource_type: str, resource_id: str) -> Response:
    """Store the body as the next version: 200, or 201 when there was none; the same again makes no version."""
    versions.require_id(resource_id)
    resource = await versions.checked(context, request, resource_type)
    require_same_id(resource, resource_id, request.path)
    return await put(context, request, resource, resource_id)


async def conditional_update(context: Context, request: Request, resource_type: str, query: str) -> Response:
    """Update the one resource that meets the criteria, or create it; raises PreconditionFailed for several."""
    resource = await versions.checked(context, request, resource_type)
    parsed = await criteria(context, resource_type, query, resource)
    answer = await _update_match(context, request, resource, parsed, query)
    unmet = await warnings(context, parsed, resource, request.size)
    return replace(answer, warnings=tuple(dict.fromkeys((*answer.warnings, *unmet))))


async def _update_match(
    context: Context, request: Request, resource: dict[str, Any], criteria: Query, query: str
) -> Response:
    existing = await find_one(context, criteria)
    resource_type = resource["resourceType"]
    if existing is not None:
        if "id" in resource:
            require_same_id(resource, existing.id, request.path)
        return await put(context, request, resource, existing.id)
    if "id" in resource:
        return await put(context, request, resource, resource["id"], new=True)
    require_match(request, None)
    made = await create_unless_found(context, resource, resource_type, query, "PUT", size=request.size)
    if made.status == 200 and made.location:
        # Another caller made it meanwhile: this update then applies to it.
        return await put(context, request, resource, made.location.split("/")[1])
    return made


async def put(
    context: Context, request: Request, resource: dict[str, Any], resource_id: str, *, new: bool = False
) -> Response:
    """Store a checked resource as the next version under the id; raises Conflict where it exists but must be `new`."""

    def plan(previous: Version | None) -> writes.Write:
        require_match(request, previous)
        if new and previous is not None and not previous.deleted:
            raise Conflict(f"{previous.type}/{previous.id} exists, but does not meet the criteria of {request.path}.")
        return next_version(context, resource, resource_id, previous, "PUT")

    return await writes.replace(context, resource["resourceType"], resource_id, plan, size=request.size)


def next_version(
    context: Context, resource: dict[str, Any], resource_id: str, previous: Version | None, method: str
) -> writes.Write:
    """Return what there is to write so that the resource says this; nothing when it does already."""
    exists = previous is not None and not previous.deleted
    if previous is not None and exists:
        # As it is, or with the mark that the server sets, whether or not the body has that.
        reported = context.access.attributed(resource, versions.interaction_of(method))
        if resource["resourceType"] == registration.TYPE:
            reported = registration.shown(context, reported, previous)
        if versions.unchanged(resource, previous) or versions.unchanged(reported, previous):
            return writes.Write(None, previous, versions.answer(200, previous))
    made = versions.draft(context, resource, resource_id, method, previous)
    return writes.Write(made, previous, versions.answer(200 if exists else 201, made))


def require_same_id(resource: dict[str, Any], resource_id: str, path: str) -> None:
    """Raise BadRequest unless the body has the id that the URL names or finds."""
    if "id" not in resource:
        raise BadRequest(
            f"The body needs the id {resource_id!r} of the URL {path}.", expression=f"{resource['resourceType']}.id"
        )
    if resource["id"] != resource_id:
        raise BadRequest(
            f"The body's id is {resource['id']!r}, but {path} means {resource_id!r}.",
            expression=f"{resource['resourceType']}.id",
        )
