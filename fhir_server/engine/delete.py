"""The delete interaction, by id or by criteria. https://hl7.org/fhir/R4/http.html#delete."""

from __future__ import annotations

from fhir_server.engine import versions
from fhir_server.engine.conditional import criteria, find_all
from fhir_server.engine.context import Context, Request, Response
from fhir_server.engine.current import attempts, read_current
from fhir_server.engine.preconditions import etag, require_match
from fhir_server.engine.update import Write, commit
from fhir_server.errors import NotFound, PreconditionFailed
from fhir_server.store.resources import Version


async def delete(context: Context, request: Request, resource_type: str, resource_id: str) -> Response:
    """Delete the resource: 204, also when there is none (or none that the caller may see)."""
    async for _ in attempts(context, resource_type, resource_id):
        try:
            previous = await read_current(context, resource_type, resource_id)
        except NotFound:
            return Response(204)
        write = plan_delete(request, previous)
        if await commit(context, write):
            return write.response
    raise AssertionError("attempts() raises when it gives up")


def plan_delete(request: Request, previous: Version | None) -> Write:
    """Return what a delete has to write on top of `previous`; raises PreconditionFailed."""
    require_match(request, previous)
    if previous is None:
        return Write(None, None, Response(204))
    if previous.deleted:
        return Write(None, previous, Response(204, headers={"ETag": etag(previous.version)}))
    made = versions.tombstone(previous)
    return Write(made, previous, Response(204, None, made.version, made.updated))


async def conditional_delete(context: Context, request: Request, resource_type: str, query: str, *, many: bool) -> Response:
    """Delete what meets the criteria; unless `many`, more than one match raises PreconditionFailed and deletes nothing."""
    limit = context.services.settings.max_conditional_deletes
    ids = await find_all(context, criteria(context, resource_type, query), 2 if not many else limit + 1)
    if not many and len(ids) > 1:
        raise PreconditionFailed(
            f"{resource_type}?{query} finds several resources; nothing was deleted. Add _multiple=true to delete them all.",
            code="multiple-matches",
        )
    if len(ids) > limit:
        raise PreconditionFailed(f"{resource_type}?{query} finds more than {limit} resources; nothing was deleted.", code="too-costly")
    for resource_id in ids:
        response = await delete(context, request, resource_type, resource_id)
    return response if len(ids) == 1 else Response(204)
