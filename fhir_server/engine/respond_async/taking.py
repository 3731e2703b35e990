"""Takes a request that is to be answered later."""

from __future__ import annotations

from fhir_server.auth.permission.access import ScopedAccess
from fhir_server.engine.access import Access, owner_of
from fhir_server.engine.context import Context, Request, Response, now
from fhir_server.engine.disclosure import note_question
from fhir_server.engine.routes import Route
from fhir_server.engine.versions import new_id
from fhir_server.errors import Issue, TooManyRequests, operation_outcome
from fhir_server.r4 import values
from fhir_server.store.accounts.bearer_tokens import meaning_document
from fhir_server.store.work.async_requests import AsyncRequest

_INTERACTIONS = frozenset(
    {"search-type", "search-system", "history-instance", "history-type", "history-system", "batch", "operation"}
)
_ON_THEIR_OWN = frozenset({"export", "import"})
"""Operations that have an asynchronous answer of their own."""
_READS = frozenset({"search-type", "search-system", "history-instance", "history-type", "history-system"})


def is_answered_later(context: Context, request: Request, route: Route) -> bool:
    """Return whether the request is to be taken now and answered later: for others the preference is passed over."""
    return (
        context.respond_async
        and not request.place
        and route.interaction in _INTERACTIONS
        and route.operation not in _ON_THEIR_OWN
    )


async def take(context: Context, request: Request, route: Route) -> Response:
    """Answer 202 with the URL where the answer will be; raises TooManyRequests."""
    store = context.services.stores.async_requests
    owner = owner_of(context.access)
    most = context.services.settings.max_exports
    if await store.count_unfinished(owner) >= most:
        error = TooManyRequests(f"{most} requests of yours wait for their answers; wait for one, or end one by DELETE.")
        error.headers["Retry-After"] = "10"
        raise error
    token = context.access.token if isinstance(context.access, ScopedAccess) else None
    taken = AsyncRequest(
        id=new_id(),
        owner=owner,
        view=view_of(context.access),
        token=None if token is None else meaning_document(token),
        base_url=context.base_url,
        method=request.method,
        path=request.path,
        query=tuple(request.query),
        handling=context.handling,
        prefer_return=context.prefer_return,
        repeatable=route.interaction in _READS or request.method == "GET",
        created=now(),
    )
    body = b"" if request.resource is None else values.encode(request.resource)
    await store.add(taken, body)
    note_question(request.path, request.query)
    text = "The request has been taken; its answer will be at Content-Location."
    headers = {"Content-Location": f"{context.base_url}/_async/{taken.id}"}
    outcome = operation_outcome([Issue("informational", text, (), "information")])
    return Response(202, values.encode(outcome), headers=headers)


def view_of(access: Access) -> str:
    """Return what names the rights of a token: another with the same may have the answer too."""
    if not isinstance(access, ScopedAccess):
        return ""
    return access.token.rights
