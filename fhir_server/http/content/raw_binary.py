"""Reading a Binary as the content it carries rather than as a resource. https://hl7.org/fhir/R4/binary.html#rest."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence

from fhir_server.engine.context import Response
from fhir_server.errors import RangeNotSatisfiable
from fhir_server.http.content.byte_range import ByteRange, OutsideContentError, byte_range
from fhir_server.http.content.representation import asks_for_resource, http_date
from fhir_server.r4 import values

# Stored before control characters were refused, a type may be none that a header can carry.
_HEADER_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?")


def is_raw_read(path: str, query: Sequence[tuple[str, str]], headers: Mapping[str, str]) -> bool:
    """Return whether a GET of the path reads a Binary and asks for anything but a FHIR format."""
    parts = path.split("/")
    if parts[0] != "Binary" or (len(parts) != 2 and not (len(parts) == 4 and parts[2] == "_history")):
        return False
    given = dict(query)
    if "_summary" in given or "_elements" in given:
        return False
    return parts[1][0] not in "_$" and not asks_for_resource(headers.get("accept"), given.get("_format"))


def raw_content(json: bytes) -> tuple[str, bytes]:
    """Return the media type and the bytes that a Binary resource carries."""
    resource = values.decode(json)
    try:
        content = base64.b64decode(resource.get("data") or "")
    except (binascii.Error, ValueError):
        content = b""
    declared = resource.get("contentType") or ""
    return declared if _HEADER_VALUE.fullmatch(declared) else "application/octet-stream", content


def requested_part(range_header: str | None, content: bytes) -> ByteRange | None:
    """Return the range of the content that is asked for, None for the whole; raises RangeNotSatisfiable."""
    try:
        return byte_range(range_header, len(content))
    except OutsideContentError as error:
        refused = RangeNotSatisfiable(str(error))
        refused.headers |= {"Content-Range": error.content_range, "Accept-Ranges": "bytes"}
        raise refused from error


def holds_if_range(if_range: str | None, path: str, response: Response) -> bool:
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
