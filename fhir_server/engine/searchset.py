"""The searchset Bundle: matches, what was included with them, and what was left out of the search.

Stored bytes stand in it as they are. https://hl7.org/fhir/R4/bundle.html#searchset
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from fhir_server.engine import subsets
from fhir_server.engine.context import instant, now
from fhir_server.engine.versions import new_id
from fhir_server.errors import Issue, operation_outcome
from fhir_server.search.ast import Query
from fhir_server.store.search import Row


def bundle(links: list[dict[str, str]], entries: list[dict[str, Any]], total: int | None) -> dict[str, Any]:
    """Return the Bundle with these parts."""
    return {
        "resourceType": "Bundle",
        "id": new_id(),
        "meta": {"lastUpdated": instant(now())},
        "type": "searchset",
        **({"total": total} if total is not None else {}),
        "link": links,
        **({"entry": entries} if entries else {}),
    }


def entries(base_url: str, query: Query, rows: Sequence[Row], mode: str) -> list[dict[str, Any]]:
    """Return the entries that show resources, whole or in the parts that the search asks for."""
    partly = subsets.wanted(query)
    return [
        {
            "fullUrl": f"{base_url}/{row.type}/{row.id}",
            "resource": msgspec.Raw(subsets.subset(row.json, query) if partly else row.json),
            "search": {"mode": mode},
        }
        for row in rows
    ]


def outcome(query: Query) -> list[dict[str, Any]]:
    """Return the entry that says what lenient handling left out; none where nothing was."""
    issues = [Issue("not-supported", f"{each.name[:80]}: {each.reason}", (), "warning") for each in query.ignored]
    return [{"resource": operation_outcome(issues), "search": {"mode": "outcome"}}] if issues else []
