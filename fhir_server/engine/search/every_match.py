"""All that a search finds, page after page, for the server's own work."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from fhir_server.engine.context import Context, Request
from fhir_server.engine.engine import handle
from fhir_server.r4 import values

_PAGE = "200"


async def every_match(
    context: Context, resource_type: str, query: list[tuple[str, str]]
) -> AsyncIterator[dict[str, Any]]:
    """Tell each resource that the search finds, as it was when the search began."""
    page = [*query, ("_count", _PAGE)]
    while page:
        answer = await handle(context, Request("GET", resource_type, page))
        bundle: dict[str, Any] = values.decode(answer.json or b"{}")
        for entry in bundle.get("entry", ()):
            if entry.get("search", {}).get("mode") == "match":
                yield entry["resource"]
        after = next((link["url"] for link in bundle["link"] if link["relation"] == "next"), "")
        page = parse_qsl(urlsplit(after).query)
