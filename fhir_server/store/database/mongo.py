"""The connection to MongoDB, its collections and their indexes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Self, TypeVar
from urllib.parse import parse_qsl, urlsplit

from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import AsyncMongoClient
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import ConfigurationError, InvalidOperation, OperationFailure, PyMongoError
from pymongo.monitoring import CommandListener, ConnectionPoolListener
from pymongo.read_concern import ReadConcern

from fhir_server.store.database import disk, outage
from fhir_server.store.database.cache import Room
from fhir_server.store.database.data_directory import StartupError
from fhir_server.store.database.encoding import CODEC, Document
from fhir_server.store.database.failures import translated
from fhir_server.store.database.monitoring import Commands
from fhir_server.store.database.read_preference import OTHER_NODES, NodePreference, OneNode
from fhir_server.store.database.transactions import FillsCache, Session, run_in_transaction
from fhir_server.store.database.turns import Turns
from fhir_server.store.encryption.database_cipher import DatabaseCipher
from fhir_server.store.encryption.key_ring import KeyRing

__all__ = ["Collection", "Database", "Document", "Session", "translated"]

Collection = AsyncCollection[Document]
T = TypeVar("T")
Listener = CommandListener | ConnectionPoolListener

OLDEST_VERSION = (6, 0)

CONNECTION: dict[str, Any] = {
    "appName": "fhir-server",
    "connectTimeoutMS": 5_000,
    # With the time above, how soon a server that says nothing at all is given up.
    "heartbeatFrequencyMS": 2_000,
    "maxPoolSize": 64,
    "serverSelectionTimeoutMS": 3_000,
    "socketTimeoutMS": 120_000,
    "waitQueueTimeoutMS": 30_000,
    "wTimeoutMS": 5_000,
}
"""What a connection keeps to, unless the database URL says otherwise."""
WITH_OTHER_NODES: dict[str, Any] = {"connectTimeoutMS": 1_500, "heartbeatFrequencyMS": 500, "wTimeoutMS": 3_000}
"""What differs where another node can take over.

A node that freezes keeps its connections and says nothing. The driver's monitors expect a word twice a second; after
2 s without one the commands that wait for the node fail and are tried once more on its successor, which is waited
for as long as `serverSelectionTimeoutMS`, or its majority for `wTimeoutMS`: so no answer takes longer than some 5 s.
"""

CLOSE_SECONDS = 2.0
_READS = frozenset({"find", "aggregate", "count"})
_MOST_COLLECTIONS = 10_000
"""More than twice those of all types."""

CURRENT_INDEXES: list[Document] = [
    # One multikey index serves every search parameter; docs/decisions/0010-one-search-index.md says why.
    {"name": "keys", "key": {"keys": 1, "_id": 1}},
    # History of a type, and searches by _lastUpdated.
    {"name": "updated", "key": {"updated": -1, "_id": 1}},
    # :missing, and the segments of a sort.
    {"name": "shape", "key": {"shape": 1, "_id": 1}},
    # Makes conditional creates race-free.
    {
        "name": "conditions",
        "key": {"conditions": 1},
        "unique": True,
        "partialFilterExpression": {"conditions": {"$exists": True}},
    },
]
CLAIM_INDEX: Document = {
    # Two search parameters of one URL, or of one code on one type, would mean different things by it.
    "name": "claims",
    "key": {"claims": 1},
    "unique": True,
    "partialFilterExpression": {"claims": {"$exists": True}},
}
CLAIMING_TYPES = frozenset({"SearchParameter"})
"""Types of which a resource may claim what no other has."""

HISTORY_INDEXES: list[Document] = [
    {"name": "instance", "key": {"id": 1, "version": -1}},
    {"name": "updated", "key": {"updated": -1, "id": 1}},
]


class Database:
    """A connected MongoDB database with its collections; make one with `connect`."""

    def __init__(self, client: AsyncMongoClient[Document], name: str) -> None:
        self.client = client
        self.name = name
        self.raw = client.get_database(name, codec_options=CODEC)
        self.primary: Database = self
        """The same database, always asked of the primary."""
        self._collections: dict[str, Collection] = {}
        self._ensured: set[str] = set()
        self._ensuring: dict[str, asyncio.Task[None]] = {}
        self._turns = Turns()
        self.room = Room(client)
        self.cipher: DatabaseCipher | None = None
        """What seals and opens the documents; None where the database is not encrypted."""

    @classmethod
    async def connect(cls, url: str, name: str = "fhir", listeners: Sequence[Listener] = ()) -> Self:
        """Return the database, every write to which is acknowledged by a majority and journaled.

        Raises StartupError where the server is none that can carry it: not reachable, too old, or without transactions.
        """
        try:
            in_url = {name.lower() for name, _ in parse_qsl(urlsplit(url).query)}
            usual = CONNECTION if "directconnection" in in_url else CONNECTION | WITH_OTHER_NODES
            options = {name: value for name, value in usual.items() if name.lower() not in in_url}
            options = {"event_listeners": listeners} | options
            client: AsyncMongoClient[Document] = AsyncMongoClient(
                url, w="majority", journal=True, server_selector=OneNode(), **options
            )
        except (ConfigurationError, ValueError, InvalidOperation) as error:
            raise StartupError(f"The database URL cannot be understood: {error}") from error
        disk.remember(url)
        try:
            await _require_transactions(client)
        except BaseException:
            await client.close()
            raise
        connected = cls(client, name)
        for listener in listeners:
            if isinstance(listener, Commands):
                listener.database = connected.raw
        return connected

    def encrypt(self, ring: KeyRing) -> None:
        """Let what is written be sealed by these keys, and what is read be opened; for before anything else is done."""
        self.cipher = DatabaseCipher(ring)
        self._collections.clear()

    def reading(self, preference: NodePreference) -> Database:
        """Return this database for reads that nothing is written by, from the nodes preferred.

        It shows what a majority has, which may be older than what has been acknowledged: a secondary lags behind.
        """
        nodes = OTHER_NODES.get(preference)
        if nodes is None:
            return self
        reading = Database(self.client, self.name)
        reading.raw = self.raw.with_options(read_preference=nodes, read_concern=ReadConcern("majority"))
        reading.primary = self
        reading.cipher = self.cipher
        return reading

    async def close(self) -> None:
        """Close all connections.

        The driver closes them at once and then waits for its tasks that watched the server; should one of those miss
        that it was cancelled, it is not waited for.
        """
        closing = asyncio.create_task(self.client.close())
        await asyncio.wait({closing}, timeout=CLOSE_SECONDS)
        if closing.done():
            closing.result()
        closing.cancel()

    async def version(self) -> str:
        """Return the version of MongoDB."""
        with translated:
            return str((await self.client.admin.command("buildInfo"))["version"])

    async def size(self) -> int:
        """Return the bytes that documents and indexes take on the disk."""
        with translated:
            stats = await self.raw.command("dbStats")
        return int(stats["storageSize"]) + int(stats["indexSize"])

    async def ping(self) -> None:
        """Raise Unavailable unless the database answers."""
        with translated:
            await self.client.admin.command("ping")

    async def wait_for_majority(self) -> None:
        """Return once a majority has all that could be read until now, so that it may be acknowledged.

        Raises Unavailable where there is no majority, or this is no longer the node that it follows.
        """
        collection = self.collection("server_state").with_options(read_concern=ReadConcern("linearizable"))
        within = int(self.client.write_concern.document.get("wtimeout") or CONNECTION["wTimeoutMS"])
        with translated:
            await collection.find_one({"_id": "nothing"}, max_time_ms=within)

    async def drop(self) -> None:
        """Remove the database with everything in it."""
        self._ensured.clear()
        with translated:
            await self.client.drop_database(self.name)

    def current(self, resource_type: str) -> Collection:
        """Return the collection of the type's current versions."""
        return self.collection(resource_type)

    def history(self, resource_type: str) -> Collection:
        """Return the collection of the type's earlier versions."""
        return self.collection(f"{resource_type}_history")

    def raw_documents(self, resource_type: str) -> AsyncCollection[RawBSONDocument]:
        """Return the collection of the type's current versions, for documents that are BSON already."""
        return self.current(resource_type)  # type: ignore[return-value]  # it takes either

    def collection(self, name: str) -> Collection:
        """Return the collection of that name."""
        collection = self._collections.get(name)
        if collection is None:
            collection = self.raw[name]
            if self.cipher is not None:
                collection = self.cipher.collection(collection)
            self._collections[name] = collection
        return collection

    async def rows(self, pipeline: list[Document], **options: Any) -> list[Document]:
        """Return the rows of several types that a pipeline on the database makes, each with its `type`."""
        cipher = self.cipher
        cursor = await self.raw.aggregate(pipeline if cipher is None else cipher.pipeline("", pipeline), **options)
        return await (cursor if cipher is None else cipher.results(cursor)).to_list()

    async def command(
        self,
        command: Document,
        *,
        session: Session | None = None,
        codec_options: CodecOptions[Document] | None = None,
    ) -> Document:
        """Return the answer to a reading command by a node that this handle reads from.

        The driver's own `command` knows neither the read preference of the database nor its read concern.
        """
        if self.primary is not self and "readConcern" not in command and _READS.intersection(command):
            command = command | {"readConcern": {"level": "majority"}}
        if self.cipher is not None:
            answer = await self._command(self.cipher.command(command), session, codec_options)
            return self.cipher.opened(command, answer)
        return await self._command(command, session, codec_options)

    async def _command(
        self, command: Document, session: Session | None, codec_options: CodecOptions[Document] | None
    ) -> Document:
        return await self.raw.command(
            command, read_preference=self.raw.read_preference, session=session, codec_options=codec_options
        )

    async def collection_names(self) -> list[str]:
        """Return the names of all collections."""
        command = {"listCollections": 1, "nameOnly": True, "cursor": {"batchSize": _MOST_COLLECTIONS}}
        with translated:
            answer = await self.command(command)
        return [collection["name"] for collection in answer["cursor"]["firstBatch"]]

    async def ensure(self, resource_types: Iterable[str]) -> None:
        """Create the collections and indexes of the types, once; a transaction must not touch a type before."""
        missing = [name for name in resource_types if name not in self._ensured]
        if missing:
            await asyncio.gather(*(self._ensure_once(name) for name in missing))

    async def _ensure_once(self, resource_type: str) -> None:
        task = self._ensuring.get(resource_type)
        if task is None:
            task = self._ensuring[resource_type] = asyncio.create_task(self._create(resource_type))
            task.add_done_callback(lambda _: self._ensuring.pop(resource_type, None))
        await asyncio.shield(task)

    async def _create(self, resource_type: str) -> None:
        indexes = [*CURRENT_INDEXES, CLAIM_INDEX] if resource_type in CLAIMING_TYPES else CURRENT_INDEXES
        with translated:
            await asyncio.gather(
                self.raw.command({"createIndexes": resource_type, "indexes": indexes}),
                self.raw.command({"createIndexes": f"{resource_type}_history", "indexes": HISTORY_INDEXES}),
            )
        self._ensured.add(resource_type)

    def require_ensured(self, resource_type: str) -> None:
        """Raise RuntimeError where a transaction would have to create a type's collections, which would deadlock."""
        if resource_type not in self._ensured:
            raise RuntimeError(f"Database.ensure must run before a transaction writes {resource_type}.")

    async def transaction(self, callback: Callable[[Session], Awaitable[T]], resource_types: Iterable[str] = ()) -> T:
        """Run the callback in one transaction and return what it returns; all it wrote is stored, or nothing.

        `resource_types` are those it will write. The callback runs again after a write conflict, so it must not have
        effects of its own. Raises what it raises, RolledBack or Unavailable when that goes on for 30 seconds, and
        TooLarge where the database has no room for it.
        """
        await self.ensure(resource_types)
        try:
            return await run_in_transaction(self.client, callback, self._turns)
        except FillsCache as error:
            raise await self.room.refusal() from error


async def _require_transactions(client: AsyncMongoClient[Document]) -> None:
    try:
        hello, build = await asyncio.gather(client.admin.command("hello"), client.admin.command("buildInfo"))
    except PyMongoError as error:
        raise StartupError(_silence(client, error)) from error
    version: tuple[int, ...] = tuple(build.get("versionArray", (0, 0)))
    if version < OLDEST_VERSION:
        raise StartupError(f"The database is MongoDB {build.get('version')}; 6.0 or later is needed.")
    if "setName" not in hello and hello.get("msg") != "isdbgrid":
        raise StartupError(
            "The database is a single MongoDB server, which has no transactions, so a FHIR transaction could be stored "
            "by halves. Start it with --replSet and run rs.initiate() once: a replica set of one is enough."
        )


def _silence(client: AsyncMongoClient[Document], error: PyMongoError) -> str:
    """Return why the database does not answer, without the driver's account of it, which may name users."""
    if isinstance(error, OperationFailure):
        return f"The database refuses the connection: {(error.details or {}).get('codeName', 'no reason given')}."
    if (outage_text := outage.summary()) is not None:
        return outage_text
    hosts = ", ".join(
        sorted(f"{host}:{port}" if port else host for host, port in client.topology_description.server_descriptions())
    )
    return f"The database at {hosts} does not answer. See that it runs, and that the database URL names it."
