"""The history interactions of an instance, a type and the system. https://hl7.org/fhir/R4/http.html#history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import msgspec

from fhir_server.engine.access import viewer
from fhir_server.engine.context import Context, Request, Response, instant, now
from fhir_server.engine.disclosure import note_resource
from fhir_server.engine.interactions.preconditions import etag
from fhir_server.engine.query_parameters import FORM
from fhir_server.engine.routes import Route
from fhir_server.engine.search import page_token, subsets
from fhir_server.engine.versions import new_id
from fhir_server.errors import BadRequest, NotFound
from fhir_server.r4 import values
from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.search.params.date_bounds import EARLIEST, LATEST
from fhir_server.search.params.dates import date_range
from fhir_server.search.params.prefixes import split_prefix
from fhir_server.store.resources.history import Cursor, Page
from fhir_server.store.resources.resources import Version

_SHOWING = frozenset({"_summary", "_elements"})
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class _Parameters:
    """What the parameters ask."""

    since: datetime | None
    at: tuple[datetime, datetime] | None
    count: int
    """How many versions stand on a page; none where only their number is wanted."""
    cursor: Cursor | None
    total: int | None
    """What the first page has counted."""
    place: list[str]
    """Who asks of which history: what a paging link is good for."""
    kept: list[tuple[str, str]]
    """The parameters that the links repeat."""

    @property
    def whole(self) -> bool:
        """Whether every version is asked for, from the latest on."""
        return self.since is None and self.at is None and self.cursor is None


async def history(context: Context, request: Request, route: Route) -> Response:
    """Answer with a history Bundle, newest first; raises NotFound for an instance that never was."""
    parameters = _read(context, request, route)
    page = await context.services.history.page(
        type=route.type,
        id=route.id,
        since=parameters.since,
        at=parameters.at,
        limit=max(parameters.count, 1),
        room=context.services.settings.max_page_bytes,
        cursor=parameters.cursor,
        access=lambda name: context.access.visible(name, route.interaction),
    )
    if route.id is not None and not page.versions and parameters.whole:
        raise NotFound(f"{route.type}/{route.id} does not exist.")
    links = [{"relation": "self", "url": _url(context, request, parameters.kept)}]
    total = await _total(context, route, parameters, page)
    if page.next is not None and parameters.count:
        token = page_token.seal(context.services.signing_key, [parameters.place, list(page.next), total])
        links.append({"relation": "next", "url": _url(context, request, [*parameters.kept, ("_page", token)])})
    for version in page.versions[: parameters.count]:
        if not version.deleted:
            note_resource(context.base_url, version.type, version.id, version.json)
    showing = [pair for pair in parameters.kept if pair[0] in _SHOWING]
    entries = [_entry(context, version, showing) for version in page.versions[: parameters.count]]
    bundle: dict[str, Any] = {
        "resourceType": "Bundle",
        "id": new_id(),
        "meta": {"lastUpdated": instant(now())},
        "type": "history",
        **({} if total is None else {"total": total}),
        "link": links,
        **({"entry": entries} if entries else {}),
    }
    return Response(200, values.encode(bundle))


async def _total(context: Context, route: Route, parameters: _Parameters, page: Page) -> int | None:
    """Return the number of versions on all pages, counted for the first: what is written meanwhile is on none.

    None where counting takes long and was not asked for.
    """
    if parameters.cursor is not None:
        return parameters.total
    if parameters.count and page.next is None:
        return len(page.versions)  # all of it stands on this page
    if not page.versions:
        return 0
    return await context.services.history.total(
        type=route.type,
        id=route.id,
        since=parameters.since,
        at=parameters.at,
        until=page.versions[0].updated,
        access=lambda name: context.access.visible(name, route.interaction),
        exact=parameters.count == 0,
    )


def _entry(context: Context, version: Version, showing: list[tuple[str, str]]) -> dict[str, Any]:
    url = f"{version.type}/{version.id}"
    created = version.version == 1
    entry: dict[str, Any] = {"fullUrl": f"{context.base_url}/{url}"}
    if not version.deleted:
        entry["resource"] = msgspec.Raw(subsets.shown(version.json, showing, version.type))
    entry["request"] = {"method": version.method, "url": version.type if version.method == "POST" else url}
    entry["response"] = {
        "status": "204" if version.deleted else "201" if created else "200",
        "etag": etag(version.version),
        "lastModified": instant(version.updated),
    }
    return entry


# --- What is asked -----------------------------------------------------------------------------------------------


def _read(context: Context, request: Request, route: Route) -> _Parameters:
    controls = _controls(request)
    since, at = controls.get("_since"), [value for name, value in request.query if name == "_at"]
    place = _place(context, request, route, controls, at)
    cursor, total = _followed(context, place, controls["_page"]) if "_page" in controls else (None, None)
    return _Parameters(
        since=_range(context, "_since", since)[0] if since is not None else None,
        at=_all_of(context, at) if at else None,
        count=0 if controls.get("_summary") == "count" else _count(context, controls.get("_count")),
        cursor=cursor,
        total=total,
        place=place,
        kept=[pair for pair in request.query if pair[0] not in FORM | {"_page"}],
    )


def _followed(context: Context, place: list[str], token: str) -> tuple[Cursor | None, int | None]:
    """Return where a paging link leads to, and the total; raises BadRequest where it is none of this history."""
    seen, *here = place
    match page_token.unseal(context.services.signing_key, token):
        case [[maker, *where], [updated, name, resource_id], total]:
            if where != here:
                raise BadRequest("The paging link belongs to another history.")
            # Another caller's link: where it stood and how much there was would tell of what this caller may not see.
            return (Cursor(updated, name, resource_id), total) if maker == seen else (None, None)
    raise BadRequest("The paging link is not one that leads into a history.")


def _place(context: Context, request: Request, route: Route, controls: Mapping[str, str], at: list[str]) -> list[str]:
    types = sorted(RESOURCE_TYPES) if route.type is None else [route.type]
    return [
        viewer(context.access, types, route.interaction),
        request.path,
        controls.get("_since", ""),
        ",".join(at),
    ]


def _controls(request: Request) -> dict[str, str]:
    controls: dict[str, str] = {}
    for name, value in request.query:
        if name in controls and name != "_at":
            raise BadRequest(f"{name} appears twice.")
        controls[name] = value
    if controls.get("_sort", "-_lastUpdated") != "-_lastUpdated":
        raise BadRequest("History is sorted by -_lastUpdated only.", code="not-supported")
    return controls


def _range(context: Context, name: str, text: str) -> tuple[datetime, datetime]:
    """Return the first and the last millisecond of a date or time."""
    try:
        # In a URL a plus sign that was not escaped arrives as a space.
        low, high = date_range(text.replace(" ", "+"), context.services.settings.default_timezone)
    except ValueError as error:
        raise BadRequest(f"{name} is not a date or time: {text[:60]!r}.", code="value") from error
    return low, max(low, high - _MILLISECOND)


def _all_of(context: Context, texts: list[str]) -> tuple[datetime, datetime]:
    """Return the span of time, both ends included, that all values of `_at` have in common; raises BadRequest."""
    spans = [_span(context, text) for text in texts]
    low, high = max(span[0] for span in spans), min(span[1] for span in spans)
    if low > high:
        raise BadRequest("The values of _at have no time in common.", code="value")
    return low, high


def _span(context: Context, text: str) -> tuple[datetime, datetime]:
    """Return the span that a value of `_at` means, with its prefix. https://hl7.org/fhir/R4/search.html#date"""
    prefix, value = split_prefix(text)
    low, high = _range(context, "_at", value)
    match prefix:
        case "eq":
            return low, high
        case "ge":
            return low, LATEST
        case "le":
            return EARLIEST, high
        case "gt" | "sa":
            return (high + _MILLISECOND if high < LATEST - _MILLISECOND else LATEST), LATEST
        case "lt" | "eb":
            return EARLIEST, (low - _MILLISECOND if low > EARLIEST else low)
    raise BadRequest(f"_at takes the prefixes eq, gt, lt, ge, le, sa and eb, not {prefix}.", code="not-supported")


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
