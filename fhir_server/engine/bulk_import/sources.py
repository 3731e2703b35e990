"""Where the lines of an import come from: an https source that the operator allows, or a Binary of this server."""

from __future__ import annotations

import re
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar
from urllib.parse import SplitResult, unquote, urlsplit

from fhir_server.auth.outbound import Outgoing, Refused, receive
from fhir_server.engine.context import Context, Request
from fhir_server.engine.interactions.read import read
from fhir_server.errors import BadRequest, Forbidden, NotFound
from fhir_server.r4 import values
from fhir_server.r4.ids import ID_PATTERN
from fhir_server.settings import Settings
from fhir_server.store.resources.contents import HeldContent
from fhir_server.work.threads import breathe

T = TypeVar("T")
Take = Callable[[AsyncIterator[bytes]], Awaitable[T]]

_BINARY = re.compile(rf"Binary/({ID_PATTERN})")
_GZIP = b"\x1f\x8b"
_WHOLE_SECONDS = 4 * 3600.0
_PIECE = 1024 * 1024


def require_allowed(context: Context, url: str, place: str) -> None:
    """Raise BadRequest unless the URL is a Binary of this server, or below one of the sources that are allowed."""
    if _local(context.base_url, url) is not None:
        return
    settings = context.services.settings
    if any(_is_below(url, source) for source in settings.allowed_import_sources):
        return
    hint = "Store the lines as a Binary and name it (Binary/[id]), or have the operator allow the source"
    raise BadRequest(
        f"The input's url leads to no source that is allowed. {hint} (setting import_sources).",
        expression=place,
        code="suppressed",
    )


def _local(base_url: str, url: str) -> str | None:
    """Return the id of the Binary that a URL names."""
    match = _BINARY.fullmatch(url.removeprefix(f"{base_url}/"))
    return None if match is None else match[1]


def _is_below(url: str, source: str) -> bool:
    try:
        requested, allowed = urlsplit(url), urlsplit(source)
        same = (requested.scheme, requested.hostname, _port(requested)) == (
            allowed.scheme,
            allowed.hostname,
            _port(allowed),
        )
    except ValueError:
        return False
    path = unquote(requested.path)
    # What a source takes for a step out of its folder is for no one to guess, so none is passed on to it.
    plain = "@" not in requested.netloc and "\\" not in path and not {".", "..", ""} & set(path.split("/")[1:-1])
    return same and plain and path.rpartition("/")[2] not in (".", "..") and path.startswith(allowed.path or "/")


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


async def read_source(context: Context, url: str, take: Take[T]) -> T:
    """Have `take` read the bytes of a source, unpacked; raises Refused, which says why it cannot be read."""
    binary = _local(context.base_url, url)
    if binary is not None:
        return await take(_unpacked(await _content(context, binary)))
    settings: Settings = context.services.settings
    if not any(_is_below(url, source) for source in settings.allowed_import_sources):
        raise Refused("its source is not allowed any more")
    headers = {"Accept": "application/fhir+ndjson, application/ndjson;q=0.9", "Accept-Encoding": "gzip"}
    outgoing = Outgoing(headers=headers, seconds=_WHOLE_SECONDS)
    internal = settings.allow_internal_urls
    return await receive(url, outgoing, lambda pieces: take(_unpacked(pieces)), allow_internal=internal)


async def _content(context: Context, binary: str) -> AsyncIterator[bytes]:
    try:
        response = await read(context, Request("GET", f"Binary/{binary}", wants_content=True), "Binary", binary)
    except (NotFound, Forbidden) as error:
        raise Refused("there is no such Binary") from error
    content = response.content or HeldContent.of(values.decode(response.json or b"{}").get("data"))
    return content.pieces()


async def _unpacked(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the bytes, which may be gzip; raises Refused for such that are damaged."""
    unpacking: zlib._Decompress | None = None
    begun = False
    async for piece in pieces:
        if not begun and piece:
            begun = True
            unpacking = zlib.decompressobj(31) if piece.startswith(_GZIP) else None
        if unpacking is None:
            yield piece
            continue
        try:
            left = piece
            while left:
                if unpacking.eof:
                    unpacking = zlib.decompressobj(31)  # a file may be several, one after another
                yield unpacking.decompress(left, _PIECE)
                left = unpacking.unconsumed_tail or unpacking.unused_data
        except zlib.error as error:
            raise Refused("it is damaged gzip") from error
    if unpacking is not None and not unpacking.eof:
        raise Refused("it ends within its gzip")


async def lines_of(pieces: AsyncIterator[bytes], longest: int, most: int) -> AsyncIterator[bytes | None]:
    """Yield the lines without their ends, and None for one that is longer than allowed.

    Raises Refused when there are more bytes than `most`.
    """
    rest, total, passing = bytearray(), 0, False
    async for piece in pieces:
        await breathe()
        total += len(piece)
        if total > most:
            raise Refused(f"it is larger than {most} bytes")
        *ended, last = piece.split(b"\n")
        for line in ended:
            whole = bytes(rest) + line
            yield None if passing or len(whole) > longest else whole
            rest.clear()
            passing = False
        if len(rest) + len(last) > longest:
            rest.clear()
            passing = True
        elif not passing:
            rest += last
    if passing or rest:
        yield None if passing else bytes(rest)
