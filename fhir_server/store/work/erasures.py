"""The record of erasures: whose data was to be erased, what of it is left to do, and what has been done.

A person's id stays in it after everything else is gone: so that a restored backup, or an import, does not bring back
what was erased.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from fhir_server.store.database.mongo import Database, Document, translated

COLLECTION = "server_erasures"

Names = tuple[str, ...]
"""References such as Observation/1."""


@dataclass(frozen=True, slots=True)
class Erasure:
    """The erasure of a patient's data."""

    patient: str
    begun: datetime
    erase: Names = ()
    """What is still to be removed."""
    anonymise: Names = ()
    """What is still to be made nobody's."""
    finished: datetime | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    """How many resources of each type were removed or made nobody's."""


class ErasureStore:
    """Keeps the record."""

    def __init__(self, database: Database) -> None:
        self._collection = database.collection(COLLECTION)

    async def begin(self, patient: str) -> Erasure:
        """Record that the patient's data is to be erased, and return how far that has come."""
        now = datetime.now(UTC)
        start: Document = {"asked": now.replace(microsecond=now.microsecond // 1000 * 1000)}
        with translated:
            await self._collection.update_one({"_id": patient}, {"$setOnInsert": start}, upsert=True)
            document = await self._collection.find_one({"_id": patient})
        assert document is not None
        return _erasure(document)

    async def save(self, erasure: Erasure) -> None:
        """Store how far an erasure has come."""
        document = {
            "asked": erasure.begun,
            "erase": list(erasure.erase),
            "anonymise": list(erasure.anonymise),
            "finished": erasure.finished,
            "counts": dict(erasure.counts),
        }
        with translated:
            await self._collection.replace_one({"_id": erasure.patient}, document, upsert=True)

    async def unfinished(self) -> list[str]:
        """Return the patients whose erasure was begun and is not finished."""
        with translated:
            return [document["_id"] async for document in self._collection.find({"finished": None}, {"_id": 1})]

    async def finished_since(self, time: datetime) -> list[str]:
        """Return the patients whose erasure was finished at that time or later."""
        with translated:
            return [
                document["_id"] async for document in self._collection.find({"finished": {"$gte": time}}, {"_id": 1})
            ]

    async def among(self, patients: Sequence[str]) -> set[str]:
        """Return those of the patients whose data was, or is being, erased."""
        if not patients:
            return set()
        with translated:
            return {
                document["_id"]
                async for document in self._collection.find({"_id": {"$in": list(patients)}}, {"_id": 1})
            }


def _erasure(document: Document) -> Erasure:
    return Erasure(
        document["_id"],
        document["asked"],
        tuple(document.get("erase", ())),
        tuple(document.get("anonymise", ())),
        document.get("finished"),
        document.get("counts", {}),
    )
