"""A database, each transaction of which also records what it was for, so that work broken off leaves no doubt.

What was committed has its record, anything else changed nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Self, TypeVar

from fhir_server.store.database.mongo import Database, Session

T = TypeVar("T")

Record = Callable[[Session], Awaitable[None]]


class RecordingDatabase(Database):
    """A database that writes a record in each of its transactions."""

    _record: Record

    @classmethod
    def of(cls, database: Database, record: Record) -> Self:
        """Return the same database over the same connection; `record` runs in each transaction, last."""
        recording = cls.__new__(cls)
        recording.__dict__.update(database.__dict__, _record=record)
        return recording

    async def transaction(self, callback: Callable[[Session], Awaitable[T]], resource_types: Iterable[str] = ()) -> T:
        """Run the callback in one transaction, and write the record in it."""

        async def recorded(session: Session) -> T:
            result = await callback(session)
            await self._record(session)
            return result

        return await super().transaction(recorded, resource_types)
