"""Bytes as an HTTP response: whole, not modified, or the range that is asked for. https://www.rfc-editor.org/rfc/rfc9110#section-14"""

from __future__ import annotations

import hashlib
import re

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.hospital.api.problem import Problem

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def response(request: Request, data: bytes, content_type: str, headers: dict[str, str]) -> Response:
    """Return the response with the bytes; raises Problem for a range outside of them.

    Several ranges at once are answered with the whole, as RFC 9110 allows.
    """
    etag = f'"{hashlib.sha256(data).hexdigest()}"'
    sent = {**headers, "ETag": etag, "Accept-Ranges": "bytes", "Content-Type": content_type}
    if _matches(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=sent)
    span = _span(request, len(data), etag)
    if span is None:
        return Response(data, headers=sent)
    first, last = span
    sent["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
    return Response(data[first : last + 1], 206, headers=sent)


def _matches(header: str | None, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for tag in (header or "").split(",")]
    return etag in tags or "*" in tags


def _span(request: Request, size: int, etag: str) -> tuple[int, int] | None:
    match = _RANGE.fullmatch(request.headers.get("range", "").replace(" ", ""))
    condition = request.headers.get("if-range")
    if match is None or match[0] == "bytes=-" or (condition is not None and condition != etag):
        return None
    if match[1]:
        first, last = int(match[1]), min(int(match[2]) if match[2] else size - 1, size - 1)
        if match[2] and int(match[2]) < int(match[1]):
            return None  # not a range at all
    else:
        first, last = max(0, size - int(match[2])), size - 1
    if first > last:
        raise Problem("range_not_satisfiable", headers={"Content-Range": f"bytes */{size}"})
    return first, last
