"""What the URL of a conditional interaction asks: its criteria, and the parameters beside them."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from fhir_server.engine.context import Request
from fhir_server.errors import BadRequest

_CONTROLS = frozenset({"_format", "_pretty", "_multiple"})


def query_text(request: Request) -> str:
    """Return the search criteria in the URL, without the parameters that control the answer."""
    return urlencode([pair for pair in request.query if pair[0] not in _CONTROLS], quote_via=quote)


def deletes_many(request: Request) -> bool:
    """Return whether a conditional delete was asked to remove every match."""
    value = dict(request.query).get("_multiple", "false")
    if value not in ("true", "false"):
        raise BadRequest(f"_multiple is true or false, not {value[:40]!r}.")
    return value == "true"
