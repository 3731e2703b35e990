"""The files of code systems that were loaded: kept in the database by their hash, for every machine to fetch."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
from collections.abc import Collection
from pathlib import Path

from gridfs.asynchronous import AsyncGridFSBucket
from gridfs.errors import CorruptGridFile, NoFile

from fhir_server.errors import Unavailable
from fhir_server.store.database.failures import translated
from fhir_server.store.database.mongo import Database

_BUCKET = "vocabulary"
_CHUNK = 4 * 1024 * 1024
_ENDING = ".vocabulary"
_DAMAGED = "The file of a code system came damaged; try again, or load the code system anew."


class VocabularyFiles:
    """Keeps files in the database, and has copies of them in a folder of this machine."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._folder = folder
        self._fetching: dict[str, asyncio.Lock] = {}

    def scratch(self) -> Path:
        """Return the path of a new file in the folder, which only its owner can read."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._folder / f"{secrets.token_hex(8)}.building"

    async def keep(self, path: Path) -> str:
        """Take a file into the database, and as this machine's copy; return its name, which tells its content."""
        name = await asyncio.to_thread(_digest, path)
        bucket = AsyncGridFSBucket(self._database.raw, bucket_name=_BUCKET, chunk_size_bytes=_CHUNK)
        with translated:
            if await self._database.collection(f"{_BUCKET}.files").find_one({"_id": name}, {"_id": 1}) is None:
                # What an upload that was broken off has left is in its way.
                await self._database.collection(f"{_BUCKET}.chunks").delete_many({"files_id": name})
                with path.open("rb") as file:
                    await bucket.upload_from_stream_with_id(name, name, file)
        os.replace(path, self._place(name))
        return name

    async def path(self, name: str) -> Path:
        """Return where this machine has the file, fetched first where it has not."""
        place = self._place(name)
        if place.exists():
            return place
        async with self._fetching.setdefault(name, asyncio.Lock()):
            if not place.exists():
                await self._fetch(name, place)
        return place

    async def _fetch(self, name: str, place: Path) -> None:
        unfinished = self.scratch()
        bucket = AsyncGridFSBucket(self._database.raw, bucket_name=_BUCKET)
        try:
            with translated, unfinished.open("wb") as file:
                try:
                    download = await bucket.open_download_stream(name)
                    while chunk := await download.readchunk():
                        file.write(chunk)
                except NoFile as error:
                    raise Unavailable("A code system was removed in the meantime; try again.") from error
                except CorruptGridFile as error:
                    raise Unavailable(_DAMAGED) from error
            if await asyncio.to_thread(_digest, unfinished) != name:
                raise Unavailable(_DAMAGED)
            os.replace(unfinished, place)
        finally:
            unfinished.unlink(missing_ok=True)

    async def remove_all_but(self, names: Collection[str]) -> None:
        """Remove the files that nothing names any more, here and in the database."""
        bucket = AsyncGridFSBucket(self._database.raw, bucket_name=_BUCKET)
        with translated:
            async for each in self._database.collection(f"{_BUCKET}.files").find({}, {"_id": 1}):
                if each["_id"] not in names:
                    await bucket.delete(each["_id"])
        for path in self._folder.glob(f"*{_ENDING}"):
            if path.name.removesuffix(_ENDING) not in names:
                path.unlink(missing_ok=True)

    def _place(self, name: str) -> Path:
        return self._folder / f"{name}{_ENDING}"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
