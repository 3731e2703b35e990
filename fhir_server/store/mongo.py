"""The connection to MongoDB: its collections and their indexes, its BSON, its transactions and its failures."""

from __future__ import annotations

import asyncio
import decimal
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC
from decimal import Decimal
from functools import lru_cache
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import parse_qsl, urlsplit

import bson
import structlog
from bson.codec_options import CodecOptions, TypeEncoder, TypeRegistry
from bson.decimal128 import Decimal128
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from pymongo import AsyncMongoClient
from pymongo.asynchronous.client_session import AsyncClientSession as Session
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import (
    CollectionInvalid,
    ConfigurationError,
    ConnectionFailure,
    DocumentTooLarge,
    ExecutionTimeout,
    InvalidOperation,
    OperationFailure,
    PyMongoError,
    WTimeoutError,
)

from fhir_server.errors import Conflict, FhirError, TooLarge, Unavailable, Unprocessable
from fhir_server.r4.values import TextDecimal
from fhir_server.store.data_directory import StartupError

__all__ = ["Collection", "Database", "Document", "Session", "translated"]

Document = dict[str, Any]
Collection = AsyncCollection[Document]
T = TypeVar("T")

OLDEST_VERSION = (6, 0)
LARGEST_DOCUMENT = 16 * 1024 * 1024
TRANSACTION_SECONDS = 30.0
TRANSIENT = "TransientTransactionError"
UNKNOWN_COMMIT = "UnknownTransactionCommitResult"
# A document, an update's result, and a transaction for the cache.
_TOO_LARGE = frozenset({10334, 17419, 17420, 315})
_LARGEST_LONG = 2**63

CONNECTION: dict[str, Any] = {
    "appName": "fhir-server",
    "connectTimeoutMS": 5_000,
    "maxPoolSize": 64,
    "serverSelectionTimeoutMS": 5_000,
    "socketTimeoutMS": 120_000,
    "waitQueueTimeoutMS": 30_000,
    "wTimeoutMS": 30_000,
}
"""What a connection keeps to, unless the database URL says otherwise."""

CURRENT_INDEXES: list[Document] = [
    # One multikey index serves every search parameter; DESIGN.md says why.
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
HISTORY_INDEXES: list[Document] = [
    {"name": "instance", "key": {"id": 1, "version": -1}},
    {"name": "updated", "key": {"updated": -1, "id": 1}},
]

log = structlog.get_logger(__name__)


# --- BSON --------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def _decimal128(text: str) -> Decimal128:
    # By text and not by value: 1.0 and 1.00 are equal decimals, but not the same one.
    return Decimal128(text)


class _DecimalEncoder(TypeEncoder):
    python_type = Decimal

    def transform_python(self, value: Any) -> Decimal128:
        return _decimal128(str(value))


class _TextDecimalEncoder(_DecimalEncoder):
    python_type = TextDecimal


CODEC: CodecOptions[Document] = CodecOptions(
    tz_aware=True, tzinfo=UTC, type_registry=TypeRegistry([_DecimalEncoder(), _TextDecimalEncoder()])
)


def with_long_integers(value: Any) -> Any:
    """Return the value with each integer beyond 64 bits as a decimal, which BSON can hold.

    The driver raises OverflowError for such a document; only then is this slow walk worth its time.
    """
    if isinstance(value, dict):
        return {name: with_long_integers(item) for name, item in value.items()}
    if isinstance(value, list):
        return [with_long_integers(item) for item in value]
    if isinstance(value, int) and not -_LARGEST_LONG <= value < _LARGEST_LONG:
        return Decimal(value)
    return value


def encode(document: Document) -> RawBSONDocument:
    """Return the document as BSON, so that its faults show before it joins others; raises TooLarge among others."""
    try:
        encoded = bson.encode(document, codec_options=CODEC)
    except OverflowError:
        encoded = bson.encode(with_long_integers(document), codec_options=CODEC)
    if len(encoded) > LARGEST_DOCUMENT:
        raise TooLarge("The resource is larger than the database can hold.")
    return RawBSONDocument(encoded)


# --- Failures ----------------------------------------------------------------------------------------------------


def translate(error: Exception) -> Exception:
    """Return the error of the server's own tree that says what a driver's error means to a caller."""
    if isinstance(error, DocumentTooLarge) or getattr(error, "code", None) in _TOO_LARGE:
        return TooLarge("The resource is larger than the database can hold.")
    if isinstance(error, decimal.DecimalException):
        return Unprocessable("A decimal has more than 34 significant digits, or an exponent beyond 6144.", code="value")
    if isinstance(error, (BSONError, UnicodeEncodeError)):
        return Unprocessable("The resource holds a name or a text that the database cannot store.", code="value")
    if isinstance(error, (ConnectionFailure, ExecutionTimeout, WTimeoutError)):
        log.warning("database.unavailable", kind=type(error).__name__)
        return Unavailable("The database cannot be reached now; try again.")
    log.error("database.failure", kind=type(error).__name__, code=getattr(error, "code", None))
    return FhirError("The database refused the operation.")


class _Translated:
    """Turns a driver's error into one of the server's own, so that none of them leaves the store.

    One that a transaction is to be run again for passes: `Database.transaction` is waiting for it.
    """

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, PyMongoError):
            if not error.has_error_label(TRANSIENT):
                raise translate(error) from error
        elif isinstance(error, (BSONError, decimal.DecimalException, UnicodeEncodeError)):
            raise translate(error) from error


translated = _Translated()


# --- The database ------------------------------------------------------------------------------------------------


class Database:
    """A connected MongoDB database with its collections; make one with `connect`."""

    def __init__(self, client: AsyncMongoClient[Document], name: str) -> None:
        self.client = client
        self.name = name
        self.raw = client.get_database(name, codec_options=CODEC)
        self._collections: dict[str, Collection] = {}
        self._ensured: set[str] = set()
        self._ensuring: dict[str, asyncio.Task[None]] = {}

    @classmethod
    async def connect(cls, url: str, name: str = "fhir") -> Self:
        """Return the database, every write to which is acknowledged by a majority and journaled.

        Raises StartupError where the server is none that can carry it: not reachable, too old, or without transactions.
        """
        try:
            given = {name.lower() for name, _ in parse_qsl(urlsplit(url).query)}
            options = {name: value for name, value in CONNECTION.items() if name.lower() not in given}
            client: AsyncMongoClient[Document] = AsyncMongoClient(url, w="majority", journal=True, **options)
        except (ConfigurationError, ValueError, InvalidOperation) as error:
            raise StartupError(f"The database URL cannot be understood: {error}") from error
        try:
            await _require_transactions(client)
        except BaseException:
            await client.close()
            raise
        return cls(client, name)

    async def close(self) -> None:
        """Close all connections."""
        await self.client.close()

    async def ping(self) -> None:
        """Raise Unavailable unless the database answers."""
        with translated:
            await self.client.admin.command("ping")

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
        found = self._collections.get(name)
        if found is None:
            found = self._collections[name] = self.raw[name]
        return found

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
        with translated:
            await asyncio.gather(
                self.raw.command({"createIndexes": resource_type, "indexes": CURRENT_INDEXES}),
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
        effects of its own. Raises what it raises, and Conflict or Unavailable when that goes on for 30 seconds.
        """
        await self.ensure(resource_types)
        deadline = time.monotonic() + TRANSACTION_SECONDS
        async with self.client.start_session() as session:
            attempt = 0
            while True:
                try:
                    return await _attempt(session, callback, deadline)
                except PyMongoError as error:
                    if not error.has_error_label(TRANSIENT):
                        raise translate(error) from error
                    if time.monotonic() > deadline:
                        raise _gave_up(error) from error
                attempt += 1
                await asyncio.sleep(random.uniform(0, min(0.005 * 1.5**attempt, 0.5)))  # noqa: S311 - not a secret


async def _attempt(session: Session, callback: Callable[[Session], Awaitable[T]], deadline: float) -> T:
    await session.start_transaction()
    try:
        result = await callback(session)
    except BaseException:
        if session.in_transaction:
            await session.abort_transaction()
        raise
    while True:
        try:
            await session.commit_transaction()
        except PyMongoError as error:
            # The commit may or may not have happened; to ask again is safe.
            if not error.has_error_label(UNKNOWN_COMMIT) or time.monotonic() > deadline:
                raise
        else:
            return result


def _gave_up(error: PyMongoError) -> FhirError:
    if isinstance(error, OperationFailure):
        return Conflict("Others keep changing the same resources; try again.", code="lock-error")
    return Unavailable("The database cannot be reached now; try again.")


async def _require_transactions(client: AsyncMongoClient[Document]) -> None:
    try:
        hello, build = await asyncio.gather(client.admin.command("hello"), client.admin.command("buildInfo"))
    except (PyMongoError, CollectionInvalid) as error:
        raise StartupError(f"The database does not answer: {error}") from error
    version: tuple[int, ...] = tuple(build.get("versionArray", (0, 0)))
    if version < OLDEST_VERSION:
        raise StartupError(f"The database is MongoDB {build.get('version')}; 6.0 or later is needed.")
    if "setName" not in hello and hello.get("msg") != "isdbgrid":
        raise StartupError(
            "The database is a single MongoDB server, which has no transactions, so a FHIR transaction could be stored "
            "by halves. Start it with --replSet and run rs.initiate() once: a replica set of one is enough."
        )
