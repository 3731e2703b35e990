"""The searchset Bundle: matches, what was included with them, and what was left out of the search.

Stored bytes stand in it as they are. https://hl7.org/fhir/R4/bundle.html#searchset
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from fhir_server.engine.context import instant, now
from fhir_server.engine.search import subsets
from fhir_server.engine.versions import new_id
from fhir_server.errors import Issue, operation_outcome
from fhir_server.search.query.ast import Query
from fhir_server.store.search.search import Row

Entry = dict[str, Any]


def bundle(links: list[dict[str, str]], entries: list[Entry], total: int | None) -> dict[str, Any]:
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


def matches(base_url: str, query: Query, rows: Sequence[Row]) -> list[Entry]:
    """Return the entries of matches; a text search gives each a score."""
    words = query.words
    entries = []
    for row in rows:
        made = entry(base_url, query, row, "match")
        if words:
            made["search"]["score"] = _score(row, words)
        entries.append(made)
    return entries


def entry(base_url: str, query: Query, row: Row, mode: str) -> Entry:
    """Return the entry that shows a resource, whole or in the parts that the search asks for."""
    included = mode == "include"
    partial = subsets.is_subset(query, row.type, included=included)
    data = subsets.subset(row.json, query, included=included) if partial else row.json
    return {
        "fullUrl": f"{base_url}/{row.type}/{row.id}",
        "resource": msgspec.Raw(data),
        "search": {"mode": mode},
    }


def _score(row: Row, words: Sequence[Sequence[str]]) -> float:
    keys = set(row.keys)
    return round(sum(not keys.isdisjoint(each) for each in words) / len(words), 3)


def outcome(query: Query, explanation: Sequence[Issue] = ()) -> list[Entry]:
    """Return the entry that says what lenient handling left out, and an explanation; none where there is neither."""
    issues = [*explanation]
    issues += [Issue("not-supported", f"{each.name[:80]}: {each.reason}", (), "warning") for each in query.ignored]
    return [{"resource": operation_outcome(issues), "search": {"mode": "outcome"}}] if issues else []
