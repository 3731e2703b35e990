"""A file that is sent in pieces: compressed where the caller takes that, from the byte that the caller asks for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from fhir_server.engine.context import Download
from fhir_server.http.content.byte_range import requested_ranges


@dataclass(frozen=True, slots=True)
class Pieces:
    """What is sent: the status, the headers that describe it, and its bytes."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: AsyncIterator[bytes]


def pieces(file: Download, headers: Mapping[str, str], content_type: str) -> Pieces:
    """Return what a request with these headers is sent; raises RangeNotSatisfiable."""
    packed = takes_gzip(headers.get("accept-encoding"))
    size = file.gzip_length if packed else file.length
    tag = f'"{file.tag}-gzip"' if packed else f'"{file.tag}"'
    described = [
        (b"content-type", content_type.encode()),
        (b"accept-ranges", b"bytes"),
        (b"etag", tag.encode()),
        (b"vary", b"Accept-Encoding"),
        *([(b"content-encoding", b"gzip")] if packed else []),
    ]
    read = file.gzip if packed else file.plain
    range_header = headers.get("range") if headers.get("if-range", tag).strip() == tag else None
    ranges = requested_ranges(range_header, size)
    if len(ranges) != 1:
        # Several ranges of a file of any size are answered with the whole, as the RFC allows.
        return Pieces(200, [*described, (b"content-length", str(size).encode())], read(0))
    [part] = ranges
    length = part.last - part.first + 1
    described += [(b"content-range", part.content_range.encode()), (b"content-length", str(length).encode())]
    return Pieces(206, described, _at_most(read(part.first), length))


def takes_gzip(accept_encoding: str | None) -> bool:
    """Return whether an Accept-Encoding header takes gzip. https://www.rfc-editor.org/rfc/rfc9110#section-12.5.3"""
    for item in (accept_encoding or "").lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        if name in ("gzip", "x-gzip", "*"):
            return not any(
                parameter.replace(" ", "") in ("q=0", "q=0.0", "q=0.00", "q=0.000") for parameter in parameters
            )
    return False


async def _at_most(body: AsyncIterator[bytes], length: int) -> AsyncIterator[bytes]:
    left = length
    async for piece in body:
        yield piece[:left]
        left -= len(piece)
        if left <= 0:
            return
