"""Copying the whole database as of one moment, while others go on reading and writing.

Every collection is read at the same cluster time (read concern "snapshot"), so that transactions are there whole or
not at all. The database keeps what is older than five minutes only where it is asked to, so it is, for the meantime.
https://www.mongodb.com/docs/manual/reference/read-concern-snapshot/
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

from bson import json_util
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import OperationFailure, PyMongoError

from fhir_server.store.backup import side_files
from fhir_server.store.backup.archive import CollectionFile, File, Manifest, Sink, file_name, new_backup, write_manifest
from fhir_server.store.database.data_directory import StartupError
from fhir_server.store.database.failures import translated
from fhir_server.store.database.mongo import Database

_WINDOW = "minSnapshotHistoryWindowInSeconds"
_USUAL_WINDOW = 300
_LONG_WINDOW = 6 * 3600
_TOO_OLD = 239
_UNAVAILABLE = frozenset({246, 72})
"""The catalogue has changed since the moment: a collection or an index was made. Another moment does."""
_MOMENTS = 6
_BATCH = 10_000
_RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)
_INTERNAL = "system."

Progress = Callable[[int, int], None]
"""Takes how many documents are copied, and how many there are about."""


class _AnotherMoment(Exception):
    """The database cannot show all of this moment."""


@dataclass(frozen=True, slots=True)
class _Collection:
    name: str
    options: dict[str, Any]
    uuid: bytes


async def back_up(
    database: Database, data_dir: Path, target: Path, progress: Progress = lambda done, total: None
) -> Path:
    """Write a backup of the present moment below the target, and return its folder.

    Raises StartupError where it cannot be written, or the database cannot show one moment for so long.
    """
    async with _long_window(database):
        for _ in range(_MOMENTS):
            try:
                return await _backed_up(database, data_dir, target, progress)
            except _AnotherMoment:
                continue
    raise StartupError("Collections or indexes are being made all the time; back up again when that is over.")


async def _backed_up(database: Database, data_dir: Path, target: Path, progress: Progress) -> Path:
    collections = await _collections(database)
    with side_files.held(data_dir) as journals:
        cluster_time, moment = await _now(database)
        journals.hold()
        with new_backup(target, moment) as folder:
            copy = _Copy(database, folder, cluster_time, await _count(database, collections), progress)
            files = tuple([await copy.copied(each) for each in collections])
            if not {each.uuid for each in collections} <= {each.uuid for each in await _collections(database)}:
                raise _AnotherMoment  # one was removed meanwhile, and what could be read of it was nothing
            manifest = Manifest(
                moment=moment.isoformat(),
                cluster_time=(cluster_time.time, cluster_time.inc),
                database=database.name,
                mongodb=await database.version(),
                server=package_version("fhir-server"),
                collections=files,
                files=_stored(folder, journals.contents(moment)),
                finished=datetime.now(UTC).isoformat(),
            )
            await asyncio.to_thread(write_manifest, folder, manifest)
    return target / folder.name.removeprefix(".").removesuffix(".partial")


def _stored(folder: Path, contents: dict[str, bytes]) -> tuple[File, ...]:
    files = []
    for name, content in contents.items():
        sink = Sink(folder, name)
        sink.write(content)
        files.append(sink.close())
    return tuple(files)


@asynccontextmanager
async def _long_window(database: Database) -> AsyncIterator[None]:
    """Have the database keep what is older for longer meanwhile, where it lets us."""
    admin = database.client.admin
    try:
        await admin.command({"setParameter": 1, _WINDOW: _LONG_WINDOW})
    except PyMongoError:  # only an administrator may; what is copied in time is copied all the same
        yield
        return
    try:
        yield
    finally:
        await admin.command({"setParameter": 1, _WINDOW: _USUAL_WINDOW})


async def _now(database: Database) -> tuple[Timestamp, datetime]:
    """Return the cluster time of the last write, and the time by the clock."""
    with translated:
        answer = await database.client.admin.command("ping")
    try:
        return answer["operationTime"], datetime.now(UTC)
    except KeyError as error:
        raise StartupError("The database tells no cluster time; it is not a replica set.") from error


async def _collections(database: Database) -> list[_Collection]:
    with translated:
        collections = [each async for each in await database.raw.list_collections()]
    return sorted(
        (
            _Collection(each["name"], dict(each["options"]), bytes(each["info"]["uuid"]))
            for each in collections
            if each["type"] == "collection" and not each["name"].startswith(_INTERNAL)
        ),
        key=lambda each: each.name,
    )


async def _count(database: Database, collections: list[_Collection]) -> int:
    with translated:
        return sum([await database.collection(each.name).estimated_document_count() for each in collections])


@dataclass(slots=True)
class _Copy:
    """Copies one collection after the other into a folder."""

    database: Database
    folder: Path
    moment: Timestamp
    total: int
    progress: Progress
    done: int = 0

    async def copied(self, collection: _Collection) -> CollectionFile:
        """Return the file of a collection, written; raises _AnotherMoment."""
        with translated:
            indexes = [dict(each) async for each in await self.database.collection(collection.name).list_indexes()]
        try:
            file = await self._written(collection.name)
        except OperationFailure as error:
            if error.code in _UNAVAILABLE:
                raise _AnotherMoment from error
            if error.code == _TOO_OLD:
                raise StartupError(
                    "The database did not keep the moment until all was copied. Let the user of the database URL set "
                    f"the parameter {_WINDOW}, or set it to more than a backup takes."
                ) from error
            with translated:
                raise
        return CollectionFile(collection.name, file, json_util.dumps(collection.options), json_util.dumps(indexes))

    async def _written(self, name: str) -> File:
        sink = Sink(self.folder, file_name(name))
        async with self.database.client.start_session(causal_consistency=False) as session:
            concern = {"level": "snapshot", "atClusterTime": self.moment}
            command: dict[str, Any] = {"find": name, "batchSize": _BATCH, "readConcern": concern}
            cursor, batch = await self._ask(command, "firstBatch", session)
            while cursor:  # the next is on its way while this one is written
                more = {"getMore": cursor, "collection": name, "batchSize": _BATCH}
                (cursor, following), _ = await asyncio.gather(
                    self._ask(more, "nextBatch", session), asyncio.to_thread(self._write, sink, batch)
                )
                batch = following
        await asyncio.to_thread(self._write, sink, batch)
        return await asyncio.to_thread(sink.close)

    async def _ask(
        self, command: dict[str, Any], batch: str, session: AsyncClientSession
    ) -> tuple[int, list[RawBSONDocument]]:
        answer = await self.database.raw.command(command, session=session, codec_options=_RAW)
        return answer["cursor"]["id"], answer["cursor"][batch]

    def _write(self, sink: Sink, batch: list[RawBSONDocument]) -> None:
        sink.write(b"".join(each.raw for each in batch), len(batch))
        self.done += len(batch)
        self.progress(self.done, self.total)
