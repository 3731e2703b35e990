"""Bulk imports in the database: what was asked for, the lines that were fetched, and what became of them.

An import is one document, replaced only by who has read its latest edit. Its lines lie beside it in parts; each
transaction that stores some of them records that within itself, so that none is stored twice, whatever is killed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
from pymongo.errors import BulkWriteError

from fhir_server.store.database.encoding import Document
from fhir_server.store.database.mongo import Database, Session, translated

IMPORTS = "server_bulk_imports"
PARTS = "server_bulk_import_parts"
RECORDS = "server_bulk_import_records"

State = Literal["waiting", "again", "done"]


class Overtaken(Exception):
    """Another worker has stored what this one was about to: the import is that worker's now."""


class Input(msgspec.Struct, frozen=True):
    """A source of lines; of one type of resource, where one is named."""

    type: str
    url: str


class BulkImport(msgspec.Struct, frozen=True, kw_only=True):
    """A bulk import; `finished` is set when it is done or has failed."""

    id: str
    owner: str
    """Who asked: nobody else learns of it."""
    url: str
    base_url: str
    token: dict[str, Any] | None
    """What the token of who asked stands for; None on an open server."""
    inputs: tuple[Input, ...]
    source: str = ""
    """What the sender calls itself."""
    by_identifier: bool = False
    """Whether resources are matched by their business identifiers instead of their ids."""
    stored: int = 0
    """How many resources are stored, as far as its progress tells; the parts have the exact number."""
    attempts: int = 0
    """Failures one after another."""
    fetched: int = 0
    """How many inputs are here whole."""
    refused: int | None = None
    """How many lines the last round refused that a further round may take; None in the first."""
    created: datetime
    finished: datetime | None = None
    expires: datetime | None = None
    failure: str = ""
    edit: int = 0


class ImportPart(msgspec.Struct, frozen=True, kw_only=True):
    """Some lines of an input, and what became of them."""

    id: str
    work: str
    """The import's id."""
    input: int
    number: int
    first_line: int
    data: bytes = b""
    """NDJSON, compressed; nothing when the part is done."""
    state: State = "waiting"
    stored: dict[str, int] = {}
    """By type of resource."""
    refusals: tuple[bytes, ...] = ()
    """An OperationOutcome for each line that was refused."""
    unread: tuple[bytes, ...] = ()
    """The same for each line that was too long to be kept."""
    refused: int = 0
    """How many lines both are, where they themselves are sealed."""


class Total(msgspec.Struct, frozen=True):
    """What became of an input so far."""

    stored: dict[str, int]
    refused: dict[int, int]
    """Numbers of parts, and how many of their lines were refused."""


def part_id(work: str, number: int, part: int) -> str:
    """Return the id of a part of an import's input: in the order of the lines."""
    return f"{work}.{number:04d}.{part:08d}"


class BulkImportStore:
    """Keeps imports and their parts."""

    def __init__(self, database: Database) -> None:
        self._imports = database.collection(IMPORTS)
        self._parts = database.collection(PARTS)
        self._records = database.collection(RECORDS)

    async def add(self, work: BulkImport) -> None:
        """Store a new import."""
        with translated:
            # A transaction must not have to create the collection, so this is its first document.
            await self._records.update_one({"_id": "format 1"}, {"$setOnInsert": {"_id": "format 1"}}, upsert=True)
            await self._imports.insert_one(_document(work))

    async def find(self, work: str, owner: str) -> BulkImport | None:
        """Return an import of the owner's."""
        with translated:
            document = await self._imports.find_one({"_id": work, "owner": owner})
        return None if document is None else _import(document)

    async def count_unfinished(self, owner: str) -> int:
        """Return how many imports of the owner are under way."""
        with translated:
            return await self._imports.count_documents({"owner": owner, "finished": None})

    async def unfinished(self) -> list[BulkImport]:
        """Return the imports that are under way, the oldest first."""
        with translated:
            documents = await self._imports.find({"finished": None}).sort("created", 1).to_list()
        return [_import(document) for document in documents]

    async def replace(self, old: BulkImport, **change: Any) -> BulkImport | None:
        """Store what has become of an import; return None where it was changed or removed meanwhile."""
        new = msgspec.structs.replace(old, edit=old.edit + 1, **change)
        with translated:
            stored = await self._imports.replace_one({"_id": old.id, "edit": old.edit}, _document(new))
        return new if stored.matched_count == 1 else None

    async def remove(self, work: BulkImport) -> None:
        """Remove an import with its parts."""
        with translated:
            await self._imports.delete_one({"_id": work.id})
            await self._parts.delete_many({"_id": _below(work.id)})
            await self._records.delete_many({"_id": _below(work.id)})

    async def clear(self) -> None:
        """Remove the imports whose time is over, and what a worker that was killed left of removed ones."""
        with translated:
            documents = await self._imports.find({"expires": {"$lte": datetime.now(UTC)}}).to_list()
            for document in documents:
                await self.remove(_import(document))
            after = ""
            # From import to import by the index: the parts themselves are large.
            while part := await self._parts.find_one({"_id": {"$gt": after}}, {"work": 1}, sort=[("_id", 1)]):
                after = f"{part['work']}/"
                if await self._imports.find_one({"_id": part["work"]}, {"_id": 1}) is None:
                    await self._parts.delete_many({"_id": _below(part["work"])})

    async def withdraw(self) -> None:
        """Remove every import that has ended: what was refused may tell of somebody who is erased."""
        with translated:
            documents = await self._imports.find({"finished": {"$ne": None}}).to_list()
        for document in documents:
            await self.remove(_import(document))

    # --- Parts --------------------------------------------------------------------------------------------------------

    async def forget_input(self, work: str, number: int) -> None:
        """Remove the parts of an input whose fetching was broken off."""
        with translated:
            await self._parts.delete_many({"_id": _below(f"{work}.{number:04d}")})

    async def add_parts(self, parts: Iterable[ImportPart]) -> None:
        """Store parts that were fetched."""
        with translated:
            await self._parts.insert_many(_document(part) for part in parts)

    async def next_part(self, work: str, state: State = "waiting") -> ImportPart | None:
        """Return the first part in a state."""
        with translated:
            document = await self._parts.find_one({"_id": _below(work), "state": state}, sort=[("_id", 1)])
        return None if document is None else _part(document)

    async def put_part(self, part: ImportPart) -> None:
        """Store what has become of a part."""
        with translated:
            await self._parts.replace_one({"_id": part.id}, _document(part))

    async def again(self, work: str) -> None:
        """Let the parts that are worth another try wait for it."""
        with translated:
            await self._parts.update_many({"_id": _below(work), "state": "again"}, {"$set": {"state": "waiting"}})

    async def give_up(self, work: str) -> None:
        """Count the parts that were worth another try as done."""
        change: Document = {"$set": {"state": "done"}, "$unset": {"data": ""}}
        with translated:
            await self._parts.update_many({"_id": _below(work), "state": {"$ne": "done"}}, change)

    async def refused(self, work: str) -> int:
        """Return how many lines of the parts that are worth another try were refused."""
        stages: list[Document] = [
            {"$match": {"_id": _below(work), "state": "again"}},
            {"$group": {"_id": None, "lines": {"$sum": "$refused"}}},
        ]
        with translated:
            async for row in await self._parts.aggregate(stages):
                return int(row["lines"])
        return 0

    async def totals(self, work: str) -> dict[int, Total]:
        """Return what became of each input so far, by its number."""
        counted = {"input": 1, "number": 1, "stored": 1, "refused": 1}
        totals: dict[int, Total] = {}
        with translated:
            async for row in self._parts.find({"_id": _below(work)}, counted).sort("_id", 1):
                total = totals.setdefault(row["input"], Total({}, {}))
                for name, count in row["stored"].items():
                    total.stored[name] = total.stored.get(name, 0) + count
                if row["refused"]:
                    total.refused[row["number"]] = row["refused"]
        return totals

    async def refusals(self, work: str, number: int, first: int, last: int) -> AsyncIterator[bytes]:
        """Yield the OperationOutcomes of an input's parts from one number to another."""
        ids = {"$gte": part_id(work, number, first), "$lte": part_id(work, number, last)}
        with translated:
            async for row in self._parts.find({"_id": ids}, {"refusals": 1, "unread": 1}).sort("_id", 1):
                for refusal in (*row["unread"], *row["refusals"]):
                    yield bytes(refusal)

    # --- What is stored -----------------------------------------------------------------------------------------------

    async def recorded(self, part: str) -> frozenset[str]:
        """Return what is recorded of a part as stored."""
        with translated:
            # "0" comes after the slash that separates the part from what is recorded of it.
            ids = {"$gte": part, "$lt": f"{part}0"}
            return frozenset([row["_id"] async for row in self._records.find({"_id": ids})])

    async def record(self, keys: list[str], session: Session | None) -> None:
        """Record keys as stored; raises Overtaken where one is recorded already, after which nothing is stored."""
        with translated:
            try:
                await self._records.insert_many([{"_id": key} for key in keys], session=session)
            except BulkWriteError as error:
                if session is not None:
                    raise Overtaken from error

    async def forget_records(self, work: str) -> None:
        """Remove the records of an import that is over."""
        with translated:
            await self._records.delete_many({"_id": _below(work)})


def _below(prefix: str) -> Document:
    """Return what ids that begin with the prefix and a point meet."""
    return {"$gte": f"{prefix}.", "$lt": f"{prefix}/"}


def _document(row: BulkImport | ImportPart) -> Document:
    document: Document = msgspec.to_builtins(row, builtin_types=(datetime, bytes))
    document["_id"] = document.pop("id")
    if isinstance(row, ImportPart):
        document["refused"] = len(row.refusals) + len(row.unread)
    return document


def _import(document: Document) -> BulkImport:
    return msgspec.convert({**document, "id": document["_id"]}, BulkImport, builtin_types=(datetime,))


def _part(document: Document) -> ImportPart:
    return msgspec.convert({**document, "id": document["_id"]}, ImportPart, builtin_types=(bytes,))
