"""Request bodies that arrive compressed: undone within a limit, so that a small bomb cannot fill the memory.

RFC 9110, section 8.4. Answers are compressed by the middleware in `fhir_server.app`.
"""

from __future__ import annotations

import zlib

import zstandard

from fhir_server.errors import BadRequest, TooLarge, UnsupportedMediaType

ACCEPTED = "gzip, zstd, deflate"
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_RAW_DEFLATE = -zlib.MAX_WBITS
# zstd frames name the window they need; RFC 9659 has HTTP allow 8 MB.
_ZSTD_WINDOW = 8 * 1024 * 1024
_ZSTD_CHUNK = 1024


def decompress(body: bytes, content_encoding: str | None, *, limit: int) -> bytes:
    """Return the body with its codings undone.

    Raises TooLarge past `limit` bytes (compressed or not), UnsupportedMediaType for an unknown coding, BadRequest for
    broken data.
    """
    if len(body) > limit:
        raise _too_large(limit)
    # Codings are listed in the order they were applied.
    for coding in reversed((content_encoding or "").split(",")):
        body = _decode(body, coding.strip().lower(), limit)
    return body


def _decode(body: bytes, coding: str, limit: int) -> bytes:
    try:
        if coding in ("", "identity"):
            return body
        if coding in ("gzip", "x-gzip"):
            return _inflate(body, _GZIP_OR_ZLIB, limit)
        if coding == "deflate":
            return _inflate(body, _GZIP_OR_ZLIB if _is_zlib(body) else _RAW_DEFLATE, limit)
        if coding == "zstd":
            return _unzstd(body, limit)
    except (zlib.error, zstandard.ZstdError, EOFError) as error:
        raise BadRequest(f"The body is not valid {coding} data.", code="structure") from error
    unsupported = UnsupportedMediaType(f"The Content-Encoding {coding!r} is not supported; {ACCEPTED} are.")
    unsupported.headers["Accept-Encoding"] = ACCEPTED
    raise unsupported


def _inflate(body: bytes, window: int, limit: int) -> bytes:
    # A gzip body may be several members, one behind the other.
    parts: list[bytes] = []
    left = limit + 1
    while body:
        decoder = zlib.decompressobj(window)
        parts.append(decoder.decompress(body, left))
        left -= len(parts[-1])
        if left <= 0:
            raise _too_large(limit)
        if not decoder.eof:
            raise EOFError
        body = decoder.unused_data.lstrip(b"\0")
    return b"".join(parts)


def _unzstd(body: bytes, limit: int) -> bytes:
    # The library cannot bound one call's output, so it gets little input at a time; its stream reader could, but takes
    # a body that was cut off for a whole one. A body may be several frames, one behind the other.
    parts: list[bytes] = []
    left, frames = limit, zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    decoder = frames.decompressobj()
    for start in range(0, len(body), _ZSTD_CHUNK):
        chunk = body[start : start + _ZSTD_CHUNK]
        while chunk:
            if decoder.eof:
                decoder = frames.decompressobj()
            parts.append(decoder.decompress(chunk))
            left -= len(parts[-1])
            if left < 0:
                raise _too_large(limit)
            chunk = decoder.unused_data
    if body and not decoder.eof:
        raise EOFError
    return b"".join(parts)


def _is_zlib(body: bytes) -> bool:
    # "deflate" means the zlib format, but some clients send the bare stream; zlib's two header bytes carry a check.
    return len(body) >= 2 and body[0] & 0x0F == 8 and int.from_bytes(body[:2]) % 31 == 0


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The body is larger than the {limit} bytes that this server takes.")
