"""What the URL of a conditional interaction asks: its criteria, and the parameters beside them."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from fhir_server.engine.context import Request
from fhir_server.engine.query_parameters import FORM
from fhir_server.errors import BadRequest

_MULTIPLE = "_multiple"


def query_text(request: Request) -> str:
    """Return the search criteria in the URL, without the parameters that control the answer."""
    controls = FORM | {_MULTIPLE} if request.method == "DELETE" else FORM
    return urlencode([pair for pair in request.query if pair[0] not in controls], quote_via=quote)


def deletes_many(request: Request) -> bool:
    """Return whether a conditional delete was asked to remove every match."""
    values = [value for name, value in request.query if name == _MULTIPLE] or ["false"]
    if values not in (["true"], ["false"]):
        raise BadRequest(f"{_MULTIPLE} is true or false, and appears once, not {', '.join(values)[:40]!r}.")
    return values == ["true"]
