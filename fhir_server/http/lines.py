"""A search answered as lines: one resource after another, page by page, however many there are.

Each page is a request of its own: it takes its turn, is judged by the rights of its moment, and is in the audit trail.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from urllib.parse import urlencode

from starlette.types import Scope

from fhir_server.engine.routes import route_of
from fhir_server.errors import BadRequest, FhirError
from fhir_server.http.answer import Answer
from fhir_server.http.content.representation import media_ranges
from fhir_server.r4 import values

CONTENT_TYPE = "application/fhir+ndjson"
_NAMES = frozenset({CONTENT_TYPE, "application/fhir ndjson", "application/ndjson", "application/x-ndjson", "ndjson"})
_SEARCHES = frozenset({"search-type", "search-system"})
_OF_PAGES = frozenset({"_count", "_page", "_total", "_summary", "_pretty"})
_AT_ONCE = "200"

_OF_BODIES = (b"content-type", b"content-length", b"content-encoding")

Ask = Callable[[str], Awaitable[Answer]]
"""Has the page of a URL answered."""


def wants_lines(method: str, path: str, query: list[tuple[str, str]], headers: Mapping[str, str]) -> bool:
    """Return whether a request is a search to be answered as lines; raises BadRequest for what is only about pages.

    `_format` goes before Accept, whose first entry of the highest quality counts. What is answered later has a form of
    its own.
    """
    formats = [value.strip().lower() for name, value in query if name == "_format"] or _preferred(headers.get("accept"))
    if not _NAMES.intersection(formats) or "respond-async" in headers.get("prefer", ""):
        return False
    try:
        if route_of(method, path).interaction not in _SEARCHES:
            return False
    except FhirError:
        return False
    require_no_pages(query)
    return True


def _preferred(accept: str | None) -> list[str]:
    ranges = [media for media in media_ranges(accept or "") if media.quality > 0]
    return [max(ranges, key=lambda media: media.quality).type] if ranges else []


def require_no_pages(parameters: Iterable[tuple[str, str]], *, and_form: bool = False) -> None:
    """Raise BadRequest for parameters that are about pages; with `and_form` for `_format`, too."""
    for name, value in parameters:
        if and_form and name == "_format":
            raise BadRequest("_format stands in the URL, which asks for NDJSON.", code="not-supported")
        if name in _OF_PAGES and (name, value) != ("_total", "none"):
            raise BadRequest(f"{name} is about pages of a Bundle, and NDJSON has none.", code="not-supported")


def first_page(scope: Scope, query: list[tuple[str, str]]) -> Scope:
    """Return the request for the first page of what is asked for."""
    criteria = [pair for pair in query if pair[0] != "_format"]
    return _page(scope, urlencode([*criteria, ("_count", _AT_ONCE)]))


def _page(scope: Scope, query: str) -> Scope:
    headers = [pair for pair in scope["headers"] if pair[0] not in (b"accept", b"range")]
    return {**scope, "query_string": query.encode("ascii"), "headers": headers}


async def lines(first: Answer, ask: Ask) -> AsyncIterator[bytes]:
    """Yield the resources of a page that was answered and of all further pages, each as a line.

    A page that cannot be had any more ends them with the line of its OperationOutcome.
    """
    answer = first
    while True:
        bundle = values.decode(answer.body)
        if answer.status != 200 or bundle.get("resourceType") != "Bundle":
            yield values.encode(bundle) + b"\n"
            return
        resources = [entry["resource"] for entry in bundle.get("entry", ()) if "resource" in entry]
        if resources:
            yield b"".join(values.encode(resource) + b"\n" for resource in resources)
        following = next((link["url"] for link in bundle["link"] if link["relation"] == "next"), None)
        if following is None:
            return
        answer = await ask(following)


def next_page(scope: Scope, path: str, query: str) -> Scope:
    """Return the request for a further page, whose path and query a link has."""
    page = _page(scope, query)
    headers = [pair for pair in page["headers"] if pair[0] not in _OF_BODIES]
    return {**page, "method": "GET", "path": path, "raw_path": path.encode("ascii"), "headers": headers}
