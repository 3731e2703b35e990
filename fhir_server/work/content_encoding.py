"""Bodies that arrive compressed, of requests and of other servers' answers: undone within a limit, so that a small bomb
cannot fill the memory.

RFC 9110, section 8.4. Our own answers are compressed by the middleware in `fhir_server.server.app`.
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
_INPUT_CHUNK = 64 * 1024
_MOST_MEMBERS = 1000
_MOST_CODINGS = 3
# FHIR as JSON shrinks to a tenth, machine-made bundles to a thirtieth; what shrinks to less than this is no resource.
_MOST_TIMES = 100
_ALWAYS = 1024 * 1024


def decompress(body: bytes, content_encoding: str | None, *, limit: int) -> bytes:
    """Return the body with its codings undone.

    Raises TooLarge past `limit` bytes (compressed or not) or past a hundred times what was sent, UnsupportedMediaType
    for an unknown coding, BadRequest for broken data.
    """
    if len(body) > limit:
        raise _too_large(limit)
    codings = (content_encoding or "").split(",", _MOST_CODINGS)
    if len(codings) > _MOST_CODINGS:
        raise BadRequest(f"A body has at most {_MOST_CODINGS} content codings.", code="too-costly")
    most = max(_ALWAYS, _MOST_TIMES * len(body))
    # Codings are listed in the order they were applied.
    for coding in reversed(codings):
        try:
            body = _decode(body, coding.strip().lower(), min(limit, most))
        except TooLarge:
            if most >= limit:
                raise
            raise TooLarge(
                f"The body is more than {_MOST_TIMES} times as large as what was sent, and larger than {_ALWAYS} bytes."
            ) from None
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
    # A gzip body may be several members, one behind the other; each is found in the body as it stands, since what is
    # left behind every one of a million tiny members would have to be copied.
    view, at, out = memoryview(body), 0, _Output(limit)
    while at < len(body):
        decoder = zlib.decompressobj(window)
        at = _member(decoder, view, at, out)
        out.count_member()
        while at < len(body) and body[at] == 0:
            at += 1
    return out.whole()


def _member(decoder: zlib._Decompress, view: memoryview, at: int, out: _Output) -> int:
    """Undo one member that begins at a place of the body; return where it ends. Raises EOFError where it is cut off."""
    while not decoder.eof:
        chunk = view[at : at + _INPUT_CHUNK]
        if not chunk:
            raise EOFError
        at += len(chunk)
        while True:
            out.add(decoder.decompress(chunk, out.room()))
            chunk = memoryview(decoder.unconsumed_tail)
            if decoder.eof or not chunk:
                break
        at -= len(decoder.unused_data)
    return at


def _unzstd(body: bytes, limit: int) -> bytes:
    # The library cannot bound one call's output, so it gets little input at a time; its stream reader could, but takes
    # a body that was cut off for a whole one. A body may be several frames, one behind the other.
    out, frames = _Output(limit), zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    decoder = frames.decompressobj()
    for start in range(0, len(body), _ZSTD_CHUNK):
        chunk = body[start : start + _ZSTD_CHUNK]
        while chunk:
            if decoder.eof:
                decoder = frames.decompressobj()
                out.count_member()
            out.add(decoder.decompress(chunk))
            chunk = decoder.unused_data
    if body and not decoder.eof:
        raise EOFError
    return out.whole()


class _Output:
    """What was undone so far, within the limit."""

    def __init__(self, limit: int) -> None:
        self._parts: list[bytes] = []
        self._limit = limit
        self._size = 0
        self._members = 0

    def room(self) -> int:
        """Return one more byte than there is room for, so that the one too many shows."""
        return self._limit - self._size + 1

    def add(self, part: bytes) -> None:
        """Take the next part; raises TooLarge."""
        if part:
            self._size += len(part)
            if self._size > self._limit:
                raise _too_large(self._limit)
            self._parts.append(part)

    def count_member(self) -> None:
        """Count a member or frame; raises BadRequest for more than anybody needs, each of which costs a new decoder."""
        self._members += 1
        if self._members > _MOST_MEMBERS:
            raise BadRequest(f"The body has more than {_MOST_MEMBERS} compressed members.", code="too-costly")

    def whole(self) -> bytes:
        """Return all of it."""
        return b"".join(self._parts)


def _is_zlib(body: bytes) -> bool:
    # "deflate" means the zlib format, but some clients send the bare stream; zlib's two header bytes carry a check.
    return len(body) >= 2 and body[0] & 0x0F == 8 and int.from_bytes(body[:2]) % 31 == 0


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The body is larger than the {limit} bytes that this server takes.")
