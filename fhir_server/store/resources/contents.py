"""The content of a Binary apart from the resource around it: its size, and any part of it.

Where a Binary is kept in GridFS, its document says where in the JSON the base64 text stands (`content`), so that five
bytes of a large file cost the one chunk that they are in. https://hl7.org/fhir/R4/binary.html
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from fhir_server.store.database.encoding import Document
from fhir_server.store.resources.blobs import BlobStore

_PIECE = 3 * 256 * 1024
"""Bytes of a content that are handed out at once: whole groups of base64."""
_LONGEST_OUTLINE = 64 * 1024
_MEMBER = b'"data":"'
_PROBE = 4096


class Content(Protocol):
    """The bytes that a Binary carries."""

    @property
    def size(self) -> int:
        """How many bytes there are."""

    async def part(self, first: int, last: int) -> bytes:
        """Return the bytes from `first` to `last`, both included."""

    def pieces(self) -> AsyncIterator[bytes]:
        """Yield all bytes, piece by piece."""


@dataclass(frozen=True, slots=True)
class HeldContent:
    """A content that is in memory."""

    data: bytes

    @classmethod
    def of(cls, text: Any) -> HeldContent:
        """Return the content that a base64 text says; none for what is no such text."""
        try:
            return cls(base64.b64decode(text or ""))
        except (binascii.Error, ValueError, TypeError):
            return cls(b"")

    @property
    def size(self) -> int:
        """How many bytes there are."""
        return len(self.data)

    async def part(self, first: int, last: int) -> bytes:
        """Return the bytes from `first` to `last`, both included."""
        return self.data[first : last + 1]

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield all bytes at once."""
        yield self.data


@dataclass(frozen=True, slots=True)
class BlobContent:
    """A content in GridFS: base64 text that begins at `start` of a blob."""

    blobs: BlobStore
    blob: str
    start: int
    size: int

    async def part(self, first: int, last: int) -> bytes:
        """Return the bytes from `first` to `last`, both included; reads the chunks that they are in."""
        group, skipped = divmod(first, 3)
        text = await self.blobs.part(self.blob, self.start + 4 * group, self.start + 4 * (last // 3 + 1))
        return base64.b64decode(text)[skipped : skipped + last - first + 1]

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield all bytes, piece by piece."""
        for first in range(0, self.size, _PIECE):
            yield await self.part(first, min(first + _PIECE, self.size) - 1)


def placed(json: bytes, resource: Mapping[str, Any]) -> Document | None:
    """Return where the content stands in the JSON of a Binary, as its document says it; None where it cannot be said.

    `outline` is the JSON without the content.
    """
    text = resource.get("data")
    if not isinstance(text, str) or not text or len(text) % 4:
        return None
    encoded = text.encode()
    at = json.find(_MEMBER + encoded[:_PROBE])
    start, end = at + len(_MEMBER), at + len(_MEMBER) + len(encoded)
    # Base64 may hold white space; then places in the text are no places in the bytes.
    if at < 0 or json[start:end] != encoded or len(text.split(maxsplit=1)) != 1:
        return None
    if len(json) - len(encoded) > _LONGEST_OUTLINE:
        return None
    size = len(encoded) // 4 * 3 - encoded[-2:].count(b"=")
    return {"start": start, "size": size, "outline": json[:start] + json[end:]}
