"""One file of an export while it is written: NDJSON, compressed as it comes."""

from __future__ import annotations

import asyncio
import zlib

from fhir_server.store.work.exports import Export, ExportFile, ExportStore, Kind

_GZIP = 31
"""A window of 15 bits, and a gzip header."""
_LEVEL = 1
_AT_ONCE = 256 * 1024


class NdjsonFile:
    """Takes lines; `close` stores the file, `abort` leaves nothing of it. Nothing is stored of an empty one."""

    def __init__(self, store: ExportStore, export: Export, resource_type: str, kind: Kind) -> None:
        self._store = store
        self._export = export
        self._type = resource_type
        self._kind: Kind = kind
        self._id, self._upload = store.new_file(export)
        self._compress = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._compressed = 0
        self.count = 0
        self.length = 0

    async def add(self, line: bytes) -> None:
        """Take a resource, as JSON without line breaks."""
        self._waiting += (line, b"\n")
        self._waiting_bytes += len(line) + 1
        self.count += 1
        if self._waiting_bytes >= _AT_ONCE:
            await self._pass_on()

    async def _pass_on(self, *, last: bool = False) -> None:
        # zlib lets other threads run meanwhile, the event loop too.
        data = await asyncio.to_thread(self._compressed_of, b"".join(self._waiting), last)
        self.length += self._waiting_bytes
        self._waiting, self._waiting_bytes = [], 0
        self._compressed += len(data)
        await self._upload.write(data)

    def _compressed_of(self, data: bytes, last: bool) -> bytes:
        packed = self._compress.compress(data)
        return packed + self._compress.flush() if last else packed

    async def close(self, view: str) -> ExportFile | None:
        """Store the file and return it; None where it has no lines."""
        if self.count == 0:
            await self.abort()
            return None
        await self._pass_on(last=True)
        await self._upload.close()
        return ExportFile(self._id, self._type, self._kind, self.count, self._compressed, self.length, view)

    async def abort(self) -> None:
        """Leave nothing of the file."""
        await self._upload.abort()
