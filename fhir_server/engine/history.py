"""The history interactions of an instance, a type and the system. https://hl7.org/fhir/R4/http.html#history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import msgspec

from fhir_server.engine import page_token
from fhir_server.engine.context import Context, Request, Response, instant, now
from fhir_server.engine.preconditions import etag
from fhir_server.engine.routes import Route
from fhir_server.engine.versions import new_id
from fhir_server.errors import BadRequest, NotFound
from fhir_server.r4 import values
from fhir_server.search.params.dates import date_range
from fhir_server.store.history import Cursor
from fhir_server.store.resources import Version

_PARAMETERS = frozenset({"_since", "_at", "_count", "_page", "_format", "_pretty", "_sort"})


async def history(context: Context, request: Request, route: Route) -> Response:
    """Answer with a history Bundle, newest first; raises NotFound for an instance that never was."""
    options = _options(context, request)
    found = await context.services.history.page(
        type=route.type,
        id=route.id,
        since=options["since"],
        at=options["at"],
        limit=options["count"],
        cursor=options["cursor"],
        access=lambda name: context.access.where(name, route.interaction),
    )
    if route.id is not None and not found.versions and options["plain"]:
        raise NotFound(f"{route.type}/{route.id} does not exist.")
    links = [{"relation": "self", "url": _url(context, request, options["kept"])}]
    if found.next is not None:
        token = page_token.seal(context.services.signing_key, list(found.next))
        links.append({"relation": "next", "url": _url(context, request, [*options["kept"], ("_page", token)])})
    bundle: dict[str, Any] = {
        "resourceType": "Bundle",
        "id": new_id(),
        "meta": {"lastUpdated": instant(now())},
        "type": "history",
        **({"total": found.total} if found.total is not None else {}),
        "link": links,
        "entry": [_entry(context, version) for version in found.versions],
    }
    if not bundle["entry"]:
        del bundle["entry"]
    return Response(200, values.encode(bundle))


def _entry(context: Context, version: Version) -> dict[str, Any]:
    url = f"{version.type}/{version.id}"
    created = version.version == 1
    entry: dict[str, Any] = {"fullUrl": f"{context.base_url}/{url}"}
    if not version.deleted:
        entry["resource"] = msgspec.Raw(version.json)
    entry["request"] = {"method": version.method, "url": version.type if version.method == "POST" else url}
    entry["response"] = {
        "status": "204" if version.deleted else "201" if created else "200",
        "etag": etag(version.version),
        "lastModified": instant(version.updated),
    }
    return entry


def _options(context: Context, request: Request) -> dict[str, Any]:
    given: dict[str, str] = {}
    for name, value in request.query:
        if name not in _PARAMETERS:
            if context.handling == "strict":
                raise BadRequest(f"History has no parameter {name[:80]!r}.", code="not-supported")
            continue
        if name in given:
            raise BadRequest(f"{name} stands twice.")
        given[name] = value
    if given.get("_sort", "-_lastUpdated") != "-_lastUpdated":
        raise BadRequest("History is sorted by -_lastUpdated only.", code="not-supported")
    since, at = given.get("_since"), given.get("_at")
    cursor = page_token.unseal(context.services.signing_key, given["_page"]) if "_page" in given else None
    return {
        "since": _instant(context, "_since", since)[0] if since is not None else None,
        "at": _instant(context, "_at", at) if at is not None else None,
        "count": _count(context, given.get("_count")),
        "cursor": Cursor(*cursor) if cursor is not None else None,
        "kept": [(name, value) for name, value in given.items() if name not in ("_page", "_format", "_pretty")],
        "plain": since is None and at is None and cursor is None,
    }


def _instant(context: Context, name: str, text: str) -> tuple[datetime, datetime]:
    try:
        low, high = date_range(text, context.services.settings.default_timezone)
    except ValueError as error:
        raise BadRequest(f"{name} is not a date or time: {text[:60]!r}.", code="value") from error
    return low.astimezone(UTC), high.astimezone(UTC) - timedelta(milliseconds=1)


def _count(context: Context, text: str | None) -> int:
    settings = context.services.settings
    if text is None:
        return settings.default_page_size
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise BadRequest(f"_count is a whole number, not {text[:40]!r}.", code="value")
    return min(int(text), settings.max_page_size)


def _url(context: Context, request: Request, pairs: list[tuple[str, str]]) -> str:
    query = urlencode(pairs)
    return f"{context.base_url}/{request.path}" + (f"?{query}" if query else "")
