"""The update interaction, conditional or not, and update as create. https://hl7.org/fhir/R4/http.html#update."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fhir_server.engine import versions
from fhir_server.engine.conditional import criteria, find_one
from fhir_server.engine.context import Context, Request, Response
from fhir_server.engine.create import create_unless_found
from fhir_server.engine.current import attempts, read_current
from fhir_server.engine.preconditions import require_match
from fhir_server.errors import BadRequest
from fhir_server.store.resources import AlreadyExists, Draft, Version


@dataclass(frozen=True, slots=True)
class Write:
    """A version to store, and the one it replaces; `draft` is None where nothing changes."""

    draft: Draft | None
    previous: Version | None
    response: Response


async def update(context: Context, request: Request, resource_type: str, resource_id: str) -> Response:
    """Store the body as the resource's next version: 200, or 201 when there was none; the same again makes no version."""
    versions.require_id(resource_id)
    resource = versions.check(context, request, resource_type)
    _require_same_id(resource, resource_id)
    return await put(context, request, resource, resource_type, resource_id)


async def conditional_update(context: Context, request: Request, resource_type: str, query: str) -> Response:
    """Update the one resource that meets the criteria, or create it; raises PreconditionFailed for several."""
    resource = versions.check(context, request, resource_type)
    existing = await find_one(context, criteria(context, resource_type, query))
    if existing is not None:
        if "id" in resource and resource["id"] != existing.id:
            raise BadRequest(
                f"The body's id is {resource['id']!r}, but {resource_type}?{query} finds another resource.", expression="id"
            )
        return await put(context, request, resource, resource_type, existing.id)
    if "id" in resource:
        return await put(context, request, resource, resource_type, resource["id"])
    made = await create_unless_found(context, query, resource_type, resource, "PUT")
    if made.status == 200 and made.location:
        # Another caller made it meanwhile: this update then applies to it.
        return await put(context, request, resource, resource_type, made.location.split("/")[1])
    return made


async def put(
    context: Context, request: Request, resource: dict[str, Any], resource_type: str, resource_id: str, method: str = "PUT"
) -> Response:
    """Store a checked resource as the next version under the id, however many others write to it meanwhile."""
    async for _ in attempts(context, resource_type, resource_id):
        previous = await read_current(context, resource_type, resource_id)
        write = plan_put(request, resource, resource_id, previous, method)
        if await commit(context, write):
            return write.response
    raise AssertionError("attempts() raises when it gives up")


def plan_put(
    request: Request, resource: dict[str, Any], resource_id: str, previous: Version | None, method: str
) -> Write:
    """Return what an update has to write on top of `previous`; raises PreconditionFailed."""
    require_match(request, previous)
    exists = previous is not None and not previous.deleted
    if previous is not None and exists and versions.unchanged(resource, previous):
        return Write(None, previous, versions.answer(200, previous))
    made = versions.draft(resource, resource_id, method, previous)
    return Write(made, previous, versions.answer(200 if exists else 201, made))


async def commit(context: Context, write: Write) -> bool:
    """Store the write; False when another writer came between, and the caller must look again."""
    if write.draft is None:
        return True
    if write.previous is not None:
        return await context.services.resources.replace(write.draft, write.previous, session=context.session)
    try:
        await context.services.resources.insert(write.draft, session=context.session)
    except AlreadyExists:
        return False
    return True


def _require_same_id(resource: dict[str, Any], resource_id: str) -> None:
    if "id" not in resource:
        raise BadRequest(f"The body needs the id {resource_id!r} of the URL.", expression="id")
    if resource["id"] != resource_id:
        raise BadRequest(f"The body's id is {resource['id']!r}, but the URL names {resource_id!r}.", expression="id")
