"""Reading a Binary as the content it carries rather than as a resource. https://hl7.org/fhir/R4/binary.html#rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fhir_server.engine.context import Request, Response
from fhir_server.http.content.byte_range import ByteRange, partial_content, requested_ranges
from fhir_server.http.content.representation import asks_for_resource, http_date, sent_type
from fhir_server.r4 import values
from fhir_server.store.resources.contents import Content, HeldContent


def is_raw_read(path: str, query: Sequence[tuple[str, str]], headers: Mapping[str, str]) -> bool:
    """Return whether a GET of the path reads a Binary and asks for anything but a FHIR format."""
    parts = path.split("/")
    if parts[0] != "Binary" or (len(parts) != 2 and not (len(parts) == 4 and parts[2] == "_history")):
        return False
    parameters = dict(query)
    if "_summary" in parameters or "_elements" in parameters:
        return False
    return parts[1][0] not in "_$" and not asks_for_resource(headers.get("accept"), parameters.get("_format"))


async def raw_answer(
    request: Request, response: Response, headers: Mapping[str, str]
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Return status, headers and body that answer with the content of a Binary, or with the parts that are asked for.

    Raises RangeNotSatisfiable.
    """
    content_type, content = _content(response)
    parts: Sequence[ByteRange] = ()
    if request.method == "GET" and _holds_if_range(headers.get("if-range"), request.path, response):
        parts = requested_ranges(headers.get("range"), content.size)
    if parts:
        part_headers, body = await partial_content(content, parts, content_type)
        return 206, _encoded(part_headers, len(body)), body
    body = b"" if request.method == "HEAD" else b"".join([piece async for piece in content.pieces()])
    return 200, _encoded({"Content-Type": content_type}, content.size), body


def _encoded(part_headers: Mapping[str, str], length: int) -> list[tuple[bytes, bytes]]:
    headers = {**part_headers, "Accept-Ranges": "bytes", "Content-Length": str(length)}
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


def _content(response: Response) -> tuple[str, Content]:
    """Return the media type and the content that a Binary which was read carries."""
    resource = values.decode(response.json or b"{}")
    return sent_type(resource.get("contentType")), response.content or HeldContent.of(resource.get("data"))


def _holds_if_range(if_range: str | None, path: str, response: Response) -> bool:
    """Return whether a range may be sent as far as If-Range is concerned.

    It takes strong validators alone. The ETags of resources are weak ones, and a Last-Modified is strong only where
    no two versions can have the same: at the first version, and where the path names the version.
    https://www.rfc-editor.org/rfc/rfc9110#section-13.1.5
    """
    if if_range is None:
        return True
    if response.updated is None or not (response.version == 1 or "/_history/" in path):
        return False
    return if_range.strip() == http_date(response.updated)
