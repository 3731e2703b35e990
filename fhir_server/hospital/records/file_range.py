"""Bytes as an HTTP response: whole, not modified, or the range that is asked for. https://www.rfc-editor.org/rfc/rfc9110#section-14"""

from __future__ import annotations

import hashlib

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.hospital.api.problem import Problem
from fhir_server.http.content.byte_range import OutsideContentError, byte_range


def response(request: Request, data: bytes, content_type: str, headers: dict[str, str]) -> Response:
    """Return the response with the bytes; raises Problem for a range outside of them.

    Several ranges at once are answered with the whole, as RFC 9110 allows.
    """
    etag = f'"{hashlib.sha256(data).hexdigest()}"'
    sent = {**headers, "ETag": etag, "Accept-Ranges": "bytes", "Content-Type": content_type}
    if _matches(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=sent)
    condition = request.headers.get("if-range")
    try:
        part = byte_range(request.headers.get("range"), len(data)) if condition in (None, etag) else None
    except OutsideContentError as error:
        raise Problem("range_not_satisfiable", headers={"Content-Range": error.content_range}) from error
    if part is None:
        return Response(data, headers=sent)
    return Response(part.of(data), 206, headers={**sent, "Content-Range": part.content_range})


def _matches(header: str | None, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for tag in (header or "").split(",")]
    return etag in tags or "*" in tags
