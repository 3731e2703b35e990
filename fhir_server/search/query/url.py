"""A query back as a URL's parameters: what the server understood."""

from __future__ import annotations

from urllib.parse import quote

from fhir_server.search.query.ast import Query

_SAFE = ":,|$/.-_~"


def to_url(query: Query) -> str:
    """Return the query string of what was understood: criteria by name, then how results are wanted.

    Equal searches, however their criteria were ordered, give the same text.
    """
    criteria = sorted((criterion.name, criterion.value) for criterion in query.criteria)
    return "&".join(
        f"{quote(name, safe=':.')}={quote(value, safe=_SAFE)}" for name, value in (*criteria, *query.results)
    )
