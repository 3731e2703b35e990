"""The search interaction on a type, on the system or in a compartment. https://hl7.org/fhir/R4/http.html#search"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec

from fhir_server.engine import page_token
from fhir_server.engine.context import Context, Request, Response, instant, now
from fhir_server.engine.routes import Route
from fhir_server.engine.versions import new_id
from fhir_server.errors import BadRequest, Issue, operation_outcome
from fhir_server.r4 import values
from fhir_server.search.ast import Query
from fhir_server.search.parse import parse
from fhir_server.search.query import Plan, compile_query
from fhir_server.search.url import to_url
from fhir_server.store.search import Cursor, Page, Row


async def search(context: Context, request: Request, route: Route) -> Response:
    """Answer with a searchset Bundle; raises BadRequest for what cannot be understood."""
    pairs, cursor = _resumed(context, request.query)
    settings = context.services.settings
    query = parse(
        _types(route),
        pairs,
        strict=context.handling == "strict",
        timezone=settings.default_timezone,
        base_url=context.base_url,
    )
    plan = compile_query(query, access=context.access.where)
    limit = min(settings.default_page_size if query.count is None else query.count, settings.max_page_size)
    counting = query.summary == "count" or limit == 0
    page = Page([], None)
    if not counting:
        page = await context.services.search.page(plan, limit=limit, cursor=cursor, session=context.session)
    total = await _total(context, query, plan, page, cursor, counting=counting)
    return Response(200, values.encode(_bundle(context, request, query, pairs, page, total)))


def _types(route: Route) -> tuple[str, ...]:
    if route.type is None or route.type == "*" or route.compartment is not None:
        raise BadRequest("Searches of several types are not supported.", code="not-supported")
    return (route.type,)


async def _total(
    context: Context, query: Query, plan: Plan, page: Page, cursor: Cursor | None, *, counting: bool
) -> int | None:
    if counting or query.total == "accurate" or query.total == "estimate":
        return await context.services.search.count(plan, session=context.session)
    # Where all matches stand on one page, their number is known anyway.
    return len(page.rows) if page.next is None and cursor is None and query.total is None else None


def _resumed(context: Context, pairs: list[tuple[str, str]]) -> tuple[list[tuple[str, str]], Cursor | None]:
    """Return the parameters of the search and where to go on: those of a paging link are in its token."""
    tokens = [value for name, value in pairs if name == "_page"]
    if not tokens:
        return pairs, None
    kept, cursor = page_token.unseal(context.services.signing_key, tokens[0])
    return [(name, value) for name, value in kept], cursor


# --- The bundle --------------------------------------------------------------------------------------------------


def _bundle(
    context: Context, request: Request, query: Query, pairs: list[tuple[str, str]], page: Page, total: int | None
) -> dict[str, Any]:
    path = request.path.removesuffix("/_search")
    understood = to_url(query)
    links = [{"relation": "self", "url": f"{context.base_url}/{path}" + (f"?{understood}" if understood else "")}]
    if page.next is not None:
        token = page_token.seal(context.services.signing_key, [pairs, page.next])
        links.append({"relation": "next", "url": f"{context.base_url}/{path}?_page={quote(token)}"})
    entries = [_entry(context, row) for row in page.rows]
    if query.ignored:
        entries.append(_outcome(query))
    return {
        "resourceType": "Bundle",
        "id": new_id(),
        "meta": {"lastUpdated": instant(now())},
        "type": "searchset",
        **({"total": total} if total is not None else {}),
        "link": links,
        **({"entry": entries} if entries else {}),
    }


def _entry(context: Context, row: Row) -> dict[str, Any]:
    return {
        "fullUrl": f"{context.base_url}/{row.type}/{row.id}",
        "resource": msgspec.Raw(row.json),
        "search": {"mode": "match"},
    }


def _outcome(query: Query) -> dict[str, Any]:
    issues = [Issue("not-supported", f"{each.name[:80]}: {each.reason}", (), "warning") for each in query.ignored]
    return {"resource": operation_outcome(issues), "search": {"mode": "outcome"}}
