"""Files in GridFS that are sealed piece by piece, so that a part can be read without the rest.

A chunk of GridFS holds one sealed piece. Each is bound to its file, its number, and whether it is the last: a file that
was cut off, or put together anew, does not open.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from gridfs.asynchronous import AsyncGridFSBucket, AsyncGridIn, AsyncGridOut

from fhir_server.store.encryption.key_ring import OVERHEAD, KeyRing


class SealedFiles:
    """Seals and opens the files of a bucket, of pieces of so many bytes."""

    def __init__(self, ring: KeyRing, bucket: str, piece: int) -> None:
        self.ring = ring
        self._bucket = bucket
        self.piece = piece
        self.chunk = piece + OVERHEAD
        """Bytes of a chunk of GridFS."""

    def length(self, stored: int) -> int:
        """Return the bytes of a file of which so many are stored."""
        return stored - OVERHEAD * self._pieces(stored)

    def _pieces(self, stored: int) -> int:
        return -(-stored // self.chunk)

    def sealed(self, name: Any, data: bytes) -> bytes:
        """Return a whole file as it is stored."""
        ends = range(self.piece, len(data), self.piece)
        pieces = [data[start : start + self.piece] for start in (0, *ends)]
        return b"".join(
            self.seal_piece(name, number, piece, last=number == len(pieces) - 1) for number, piece in enumerate(pieces)
        )

    def seal_piece(self, name: Any, number: int, piece: bytes, *, last: bool) -> bytes:
        """Return a piece as it is stored."""
        return self.ring.seal(piece, self._place(name, number, last=last))

    def open_piece(self, name: Any, number: int, sealed: bytes, stored: int) -> bytes:
        """Return a piece of a file of which so many bytes are stored; raises Unreadable."""
        return self.ring.open(sealed, self._place(name, number, last=number == self._pieces(stored) - 1))

    def resealed(self, name: Any, number: int, sealed: bytes, stored: int) -> bytes:
        """Return a piece as it is stored by the current key."""
        last = number == self._pieces(stored) - 1
        return bytes(self.seal_piece(name, number, self.open_piece(name, number, sealed, stored), last=last))

    def _place(self, name: Any, number: int, *, last: bool) -> str:
        return f"{self._bucket}\x1f{name}\x1f{number}\x1f{'last' if last else ''}"

    async def stream(self, download: AsyncGridOut, start: int = 0) -> AsyncIterator[bytes]:
        """Yield the bytes of a file, from `start`."""
        number, skipped = divmod(start, self.piece)
        await download.seek(number * self.chunk)
        while chunk := await download.readchunk():
            yield self.open_piece(download._id, number, chunk, download.length)[skipped:]
            number, skipped = number + 1, 0

    def writer(self, bucket: AsyncGridFSBucket, name: Any) -> SealingWriter:
        """Return what takes the content of a new file."""
        return SealingWriter(self, bucket.open_upload_stream_with_id(name, name, chunk_size_bytes=self.chunk), name)


class SealingWriter:
    """Takes the content of a file, as GridFS's own writer does, and stores it sealed."""

    def __init__(self, files: SealedFiles, target: AsyncGridIn, name: Any) -> None:
        self._files = files
        self._target = target
        self._name = name
        self._number = 0
        self._held = bytearray()

    async def write(self, data: bytes) -> None:
        """Take bytes."""
        self._held += data
        while len(self._held) > self._files.piece:
            await self._write(self._files.piece, last=False)

    async def close(self) -> None:
        """Store the rest."""
        await self._write(len(self._held), last=True)
        await self._target.close()

    async def abort(self) -> None:
        """Store nothing."""
        await self._target.abort()

    async def _write(self, size: int, *, last: bool) -> None:
        piece = bytes(self._held[:size])
        del self._held[:size]
        await self._target.write(self._files.seal_piece(self._name, self._number, piece, last=last))
        self._number += 1
