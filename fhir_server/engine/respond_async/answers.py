"""Whatever is carried out behind the scenes, at its own URL: exports, imports, and requests that are answered later."""

from __future__ import annotations

from typing import Any

import msgspec

from fhir_server.engine.access import owner_of, require_acting_for
from fhir_server.engine.bulk import answers as exports
from fhir_server.engine.bulk_import import answers as imports
from fhir_server.engine.context import Context, Request, Response
from fhir_server.engine.disclosure import note_patients, note_question
from fhir_server.engine.respond_async.taking import view_of
from fhir_server.engine.routes import Route
from fhir_server.errors import Forbidden, Issue, operation_outcome
from fhir_server.r4 import values
from fhir_server.store.work.async_requests import AsyncRequest, AsyncRequestStore


async def status(context: Context, request: Request, route: Route) -> Response:
    """Answer 202 while the work is under way, and 200 with what came of it.

    Raises NotFound, and Forbidden where the token is not as far-reaching as the one that asked.
    """
    taken = await _taken(context, route)
    if taken is None:
        work = await imports.find(context, route)
        return await (exports.status(context, request, route) if work is None else imports.status(context, work))
    if taken.finished is None:
        progress = "waiting for its turn" if taken.begun is None else "under way"
        return Response(202, None, headers={"X-Progress": progress, "Retry-After": "1"})
    if view_of(context.access) != taken.view:
        raise Forbidden("The answer is for a token with the scopes of the one that asked.")
    require_acting_for(context.access, taken.acted_for)
    note_question(taken.path, taken.query)
    note_patients(taken.patients)
    answer = answer_bundle(taken, await _store(context).answer(taken))
    headers = {"Expires": f"{taken.expires:%a, %d %b %Y %H:%M:%S} GMT", "Cache-Control": "private, no-cache"}
    return Response(200, answer, headers=headers)


async def cancel(context: Context, request: Request, route: Route) -> Response:
    """End the work, or forget what came of it; answers 202. What has begun may still be carried out."""
    taken = await _taken(context, route)
    if taken is None:
        work = await imports.find(context, route)
        return await (exports.cancel(context, request, route) if work is None else imports.cancel(context, work))
    await _store(context).remove(taken)
    text = (
        "The request is forgotten." if taken.begun is None else "The answer is forgotten; what was begun may be done."
    )
    return Response(202, values.encode(operation_outcome([Issue("informational", text, (), "information")])))


async def file(context: Context, request: Request, route: Route) -> Response:
    """Answer with a file of an export or of an import; raises NotFound, and Forbidden where the token sees less."""
    work = await imports.find(context, route)
    return await (
        exports.file(context, request, route) if work is None else imports.file(context, request, route, work)
    )


async def _taken(context: Context, route: Route) -> AsyncRequest | None:
    return await _store(context).find(route.id or "", owner_of(context.access))


def _store(context: Context) -> AsyncRequestStore:
    return context.services.stores.async_requests


def answer_bundle(taken: AsyncRequest, answer: bytes) -> bytes:
    """Return the batch-response that tells the answer of a finished request."""
    response: dict[str, Any] = {"status": str(taken.status)}
    if taken.location:
        response["location"] = f"{taken.base_url}/{taken.location}"
    if taken.etag:
        response["etag"] = taken.etag
    entry: dict[str, Any] = {"response": response}
    if answer and taken.status < 400:
        entry["resource"] = msgspec.Raw(answer)
    elif answer:
        response["outcome"] = msgspec.Raw(answer)
    return values.encode({"resourceType": "Bundle", "type": "batch-response", "entry": [entry]})
