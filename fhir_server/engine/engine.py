"""The engine: takes a request, finds its interaction, checks access and carries it out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

from fhir_server.engine import operations
from fhir_server.engine.context import Ask, Context, Request, Response
from fhir_server.engine.interactions import capabilities
from fhir_server.engine.interactions.create import create
from fhir_server.engine.interactions.delete import conditional_delete, delete
from fhir_server.engine.interactions.history import history
from fhir_server.engine.interactions.patch import conditional_patch, patch
from fhir_server.engine.interactions.read import read, vread
from fhir_server.engine.interactions.update import conditional_update, update
from fhir_server.engine.query_parameters import require_known
from fhir_server.engine.requests import deletes_many, query_text
from fhir_server.engine.respond_async import answers
from fhir_server.engine.respond_async.taking import is_answered_later, take
from fhir_server.engine.routes import Route, route_of
from fhir_server.engine.search.search import search
from fhir_server.engine.transaction import bundles
from fhir_server.work.budget import spend

Handler = Callable[[Context, Request, Route], Awaitable[Response]]


async def handle(context: Context, request: Request) -> Response:
    """Carry out the request's interaction; raises a FhirError, after which nothing has changed."""
    route = route_of(request.method, request.path)
    context.access.require(route.interaction, route.type)
    require_known(request, route)
    context.dispatch = handle
    if context.respond_async and is_answered_later(context, request, route):
        return await take(context, request, route)
    spend(_STEPS)
    if route.interaction == "capabilities":  # needs no database
        return await HANDLERS[route.interaction](context, request, route)
    context = _placed(context, route)
    await _learn(context, route)
    following = context.services.following
    if route.interaction in _WITHOUT_INDEX:
        return await HANDLERS[route.interaction](context, request, route)
    with following.working():
        return await HANDLERS[route.interaction](context, request, route)


def _placed(context: Context, route: Route) -> Context:
    """Return the context on the nodes that may serve the interaction."""
    allowed, context.reads_only = context.reads_only, False  # never for what the interaction asks in its turn
    reading = context.services.reading
    if reading is None or not allowed or context.session is not None or route.interaction not in _READ_ONLY:
        return context
    return replace(context, services=reading)


async def _learn(context: Context, route: Route) -> None:
    """Learn of search parameters, where others cannot count any more on this worker to know them.

    What a secondary serves needs no primary for that: a read goes by no search parameter, and for a search it is enough
    that where it reads, the set is the one that this worker has.
    """
    services = context.services
    if services.following.fresh:
        return
    from_secondary = services.database.primary is not services.database
    if from_secondary and route.interaction in _WITHOUT_INDEX:
        return
    if from_secondary and await services.following.holds_at(services.database):
        return
    await services.following.look()


def asking(context: Context) -> Ask:
    """Return what carries out interactions in process, as the caller of the context."""
    return partial(handle, context)


_STEPS = 200
"""What an interaction counts for, beside the work that depends on what was sent."""

_WITHOUT_INDEX = frozenset(
    {
        "async-status",
        "async-cancel",
        "async-file",
        "capabilities",
        "read",
        "vread",
        "history-instance",
        "history-type",
        "history-system",
    }
)
"""Interactions that neither search nor write, so that the set of search parameters is nothing to them."""

_READ_ONLY = frozenset(
    {"read", "vread", "history-instance", "history-type", "history-system", "search-type", "search-system"}
)


async def _read(context: Context, request: Request, route: Route) -> Response:
    return await read(context, request, route.type or "", route.id or "")


async def _vread(context: Context, request: Request, route: Route) -> Response:
    return await vread(context, request, route.type or "", route.id or "", route.version or "")


async def _create(context: Context, request: Request, route: Route) -> Response:
    return await create(context, request, route.type or "")


async def _update(context: Context, request: Request, route: Route) -> Response:
    return await update(context, request, route.type or "", route.id or "")


async def _conditional_update(context: Context, request: Request, route: Route) -> Response:
    return await conditional_update(context, request, route.type or "", query_text(request))


async def _patch(context: Context, request: Request, route: Route) -> Response:
    return await patch(context, request, route.type or "", route.id or "")


async def _conditional_patch(context: Context, request: Request, route: Route) -> Response:
    return await conditional_patch(context, request, route.type or "", query_text(request))


async def _delete(context: Context, request: Request, route: Route) -> Response:
    return await delete(context, request, route.type or "", route.id or "")


async def _conditional_delete(context: Context, request: Request, route: Route) -> Response:
    return await conditional_delete(context, request, route.type or "", query_text(request), many=deletes_many(request))


HANDLERS: dict[str, Handler] = {
    "capabilities": capabilities.answer,
    "read": _read,
    "vread": _vread,
    "create": _create,
    "update": _update,
    "patch": _patch,
    "delete": _delete,
    "conditional-update": _conditional_update,
    "conditional-patch": _conditional_patch,
    "conditional-delete": _conditional_delete,
    "history-instance": history,
    "history-type": history,
    "history-system": history,
    "search-type": search,
    "search-system": search,
    "operation": operations.run,
    "batch": bundles.process,
    "async-status": answers.status,
    "async-cancel": answers.cancel,
    "async-file": answers.file,
}
