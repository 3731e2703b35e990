"""The delete interaction, by id or by criteria. https://hl7.org/fhir/R4/http.html#delete."""

from __future__ import annotations

from contextlib import suppress

from fhir_server.engine import versions, writes
from fhir_server.engine.context import Context, Request, Response
from fhir_server.engine.interactions.conditional import criteria, find_all
from fhir_server.engine.interactions.preconditions import etag, require_match
from fhir_server.engine.referential_integrity import GUARDED, require_unused
from fhir_server.errors import NotFound, PreconditionFailed
from fhir_server.store.resources.resources import Version


async def delete(context: Context, request: Request, resource_type: str, resource_id: str) -> Response:
    """Delete the resource: 204, also when there is none (or none that the caller may see).

    Raises Conflict where others name it that cannot do without; a transaction looks for those when all is written.
    """

    def plan(previous: Version | None) -> writes.Write:
        require_match(request, previous)
        return _tombstone(context, previous)

    try:
        if resource_type in GUARDED and context.pending is None:
            # Who may not delete it does not learn either who names it.
            await writes.read_current(context, resource_type, resource_id, "delete")
            await require_unused(context, resource_type, [resource_id])
        return await writes.replace(context, resource_type, resource_id, plan, "delete")
    except NotFound:
        return Response(204)


async def _require_deletable(context: Context, resource_type: str, resource_id: str) -> None:
    """Raise Forbidden for what the caller sees but may not delete: before anything is deleted."""
    with suppress(NotFound):
        await writes.read_current(context, resource_type, resource_id, "delete")


def _tombstone(context: Context, previous: Version | None) -> writes.Write:
    if previous is None:
        return writes.Write(None, None, Response(204))
    if previous.deleted:
        return writes.Write(None, previous, Response(204, headers={"ETag": etag(previous.version)}))
    made = versions.tombstone(context, previous)
    return writes.Write(made, previous, Response(204, None, made.version, made.updated))


async def conditional_delete(
    context: Context, request: Request, resource_type: str, query: str, *, many: bool
) -> Response:
    """Delete what meets the criteria; unless `many`, several matches raise PreconditionFailed and stay."""
    ids = await matches(context, resource_type, query, many=many)
    await require_unused(context, resource_type, ids)
    for resource_id in ids:
        await _require_deletable(context, resource_type, resource_id)
    if not ids:
        await (
            context.services.database.wait_for_majority()
        )  # what met the criteria may come back, unless a majority knows better
    response = Response(204)
    for resource_id in ids:
        response = await delete(context, request, resource_type, resource_id)
    return response if len(ids) == 1 else Response(204)


async def matches(context: Context, resource_type: str, query: str, *, many: bool) -> list[str]:
    """Return the ids that a conditional delete removes; raises PreconditionFailed where they are too many."""
    limit = context.services.settings.max_conditional_deletes if many else 1
    ids = await find_all(context, await criteria(context, resource_type, query), limit + 1)
    if len(ids) <= limit:
        return ids
    if many:
        raise PreconditionFailed(
            f"{resource_type}?{query} finds more than {limit} resources; nothing was deleted.", code="too-costly"
        )
    raise PreconditionFailed(
        f"{resource_type}?{query} finds several resources; nothing was deleted. Add _multiple=true to delete them all.",
        code="multiple-matches",
    )
