"""Putting a backup into an empty database: every document byte by byte, then the indexes.

While that goes on the database has a mark, by which a server refuses to serve what is only half there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bson import json_util
from bson.raw_bson import RawBSONDocument
from pymongo import WriteConcern
from pymongo.asynchronous.collection import AsyncCollection

from fhir_server.store.backup.archive import CollectionFile, Manifest, content_of, documents_of
from fhir_server.store.database.data_directory import StartupError
from fhir_server.store.database.failures import translated
from fhir_server.store.database.mongo import Database

MARK = "restore_under_way"
_AT_ONCE = 1000
_BYTES_AT_ONCE = 8 * 1024 * 1024

Progress = Callable[[int, int], None]


async def restore(
    database: Database, folder: Path, manifest: Manifest, progress: Progress = lambda done, total: None
) -> None:
    """Put a verified backup into the database; raises StartupError where that is not empty."""
    await require_empty(database)
    with translated:
        await database.collection(MARK).insert_one({"_id": manifest.moment})
    done = 0
    for each in manifest.collections:
        await _create(database, each)
        target = database.collection(each.name).with_options(write_concern=WriteConcern(w=1))
        documents = documents_of(folder, each.file)
        while (batch := await asyncio.to_thread(next, documents, None)) is not None:
            for part in _parts(batch):
                await _insert(target, part)
                done += len(part)
                progress(done, manifest.documents)
        await _index(database, each)
    with translated:
        # Acknowledged by a majority and journaled, as is all before it then.
        await database.raw.drop_collection(MARK)


async def require_empty(database: Database) -> None:
    """Raise StartupError where the database holds anything."""
    if names := await database.collection_names():
        raise StartupError(
            f"The database {database.name} is not empty: it has {len(names)} collections. Restore into another one."
        )


async def require_whole(database: Database) -> None:
    """Raise StartupError where a restore into the database was broken off."""
    if MARK in await database.collection_names():
        raise StartupError(
            "A backup is being restored into this database, or was not to its end. Restore it again, into an empty one."
        )


def contents(folder: Path, manifest: Manifest) -> dict[str, bytes]:
    """Return the files of a backup that belong beside the database."""
    return {file.name: b"".join(content_of(folder, file)) for file in manifest.files}


def _parts(batch: list[bytes]) -> list[list[RawBSONDocument]]:
    parts: list[list[RawBSONDocument]] = [[]]
    size = 0
    for document in batch:
        if len(parts[-1]) >= _AT_ONCE or (parts[-1] and size + len(document) > _BYTES_AT_ONCE):
            parts.append([])
            size = 0
        parts[-1].append(RawBSONDocument(document))
        size += len(document)
    return parts


async def _create(database: Database, collection: CollectionFile) -> None:
    options: dict[str, Any] = json_util.loads(collection.options)
    with translated:
        await database.raw.command({"create": collection.name, **options})


async def _insert(target: AsyncCollection[Any], documents: list[RawBSONDocument]) -> None:
    with translated:
        await target.insert_many(documents, ordered=False, bypass_document_validation=True)


async def _index(database: Database, collection: CollectionFile) -> None:
    indexes = [each for each in json_util.loads(collection.indexes) if each["name"] != "_id_"]
    if indexes:
        with translated:
            await database.raw.command({"createIndexes": collection.name, "indexes": indexes})
