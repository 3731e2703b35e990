"""The parameters of a request, from its query or its form: each once, decoded once."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import parse_qsl

from starlette.requests import Request

from fhir_server.http.oauth.answers import OAuthError

LARGEST_BODY = 64 * 1024


async def body_of(request: Request) -> bytes:
    """Return the body; raises OAuthError where it is larger than any of these endpoints needs."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LARGEST_BODY:
            raise OAuthError("invalid_request", "The body is too large.", 413)
    return body


async def form_pairs(request: Request) -> list[tuple[str, str]]:
    """Return the pairs of a form body; raises OAuthError where the body is none."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/x-www-form-urlencoded":
        raise OAuthError("invalid_request", "The body must be application/x-www-form-urlencoded.", 400)
    return _pairs((await body_of(request)).decode("latin-1"))


async def form(request: Request) -> dict[str, str]:
    """Return the parameters of a form body, each of which may stand once; empty ones count as left out."""
    return once(await form_pairs(request))


def query(request: Request) -> dict[str, str]:
    """Return the parameters of the URL, each of which may stand once; empty ones count as left out."""
    return once(_pairs(request.url.query))


def _pairs(text: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=200)
    except ValueError as error:
        raise OAuthError("invalid_request", "The parameters are not a valid form.") from error


def once(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the pairs as parameters; raises OAuthError where a name stands twice."""
    parameters: dict[str, str] = {}
    for name, value in pairs:
        if name in parameters:
            raise OAuthError("invalid_request", f"The parameter {name[:50]!r} appears twice.")
        parameters[name] = value
    return {name: value for name, value in parameters.items() if value}
