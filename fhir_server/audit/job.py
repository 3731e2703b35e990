"""The audit trail: accesses are written to the worker's journal at once, and stored as AuditEvents within a second.

An access is in the journal before its answer leaves, so a kill loses none: this worker tells the journal to the
database, or the next that starts. Only a crash of the whole machine can lose the accesses of its last second.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import structlog

from fhir_server.audit.drafts import AuditDrafts
from fhir_server.audit.records import Record, decode_record, encode_record
from fhir_server.engine.context import Context, Services
from fhir_server.errors import FhirError
from fhir_server.store.encryption.key_ring import Unreadable
from fhir_server.store.work.audit_journal import AuditJournal, Batch, open_line, seal_line

SECONDS = 1.0
_AT_ONCE = 200
_BETWEEN_SEARCHES = 30
"""Rounds between two looks for what other workers left behind."""

_log = structlog.get_logger(__name__)


async def tell(services: Services, base_url: str, record: Record) -> None:
    """Store what was done just now, for a command, which has no journal and waits."""
    await services.resources.insert_new(AuditDrafts(Context(services, base_url)).drafts([record]))


class AuditTrail:
    """The audit trail of one worker; runs while it is entered."""

    def __init__(self, services: Services, base_url: str, directory: Path) -> None:
        self._resources = services.resources
        self._cipher = services.database.cipher
        self._drafts = AuditDrafts(Context(services, base_url))
        self._journal = AuditJournal(directory)
        self._late: list[Batch] = []
        self._telling = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def record(self, access: Record) -> None:
        """Write an access down; raises OSError where that cannot be done."""
        line = encode_record(access)
        cipher = self._cipher
        self._journal.append(line if cipher is None else seal_line(cipher.ring, access.id, access.milliseconds, line))

    async def flush(self) -> None:
        """Store all that was written down until now."""
        async with self._telling:
            taken = self._journal.take()
            if taken is not None:
                self._late.append(taken)
            while self._late:
                await self._store(self._late[0])
                self._late.pop(0).done()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Asked to stop and not cancelled: a cancellation amid a database call can get lost in the driver.
        self._stopping.set()
        if self._task is not None:
            await self._task
        try:
            await self.flush()
        except FhirError:
            _log.warning("audit.left", reason="the database does not answer; the next start stores it")
        self._journal.close()

    async def _run(self) -> None:
        rounds = 0
        while not self._stopping.is_set():
            try:
                if rounds % _BETWEEN_SEARCHES == 0:
                    self._late += self._journal.orphans()
                await self.flush()
            except Exception as error:  # whatever it is, it is tried again: the trail goes on while the worker lives
                _log.warning("audit.delayed", kind=type(error).__name__)
            rounds += 1
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), SECONDS)

    async def _store(self, batch: Batch) -> None:
        lines = await asyncio.to_thread(batch.lines)
        for start in range(0, len(lines), _AT_ONCE):
            records = self._decoded(lines[start : start + _AT_ONCE])
            # Some were told before where only the file was not removed in time: the ids say so.
            await self._resources.insert_new(self._drafts.drafts(records))

    def _decoded(self, lines: list[bytes]) -> list[Record]:
        records: list[Record] = []
        for line in lines:
            try:
                records.append(decode_record(line if self._cipher is None else open_line(self._cipher.ring, line)))
            except (msgspec.DecodeError, Unreadable):
                # Another version of this server wrote it. It must neither be lost nor keep the others from being told.
                self._journal.set_aside(line)
                _log.error("audit.unreadable", kept="among the journals, with the ending .unreadable")
        return records
