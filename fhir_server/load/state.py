"""What is loaded already: in the database itself, or in a file when another server is loaded over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from fhir_server.services import services
from fhir_server.settings import Settings


class State(Protocol):
    """Remembers the keys of what was loaded."""

    def recall(self) -> set[str]:
        """Return the keys of all that was loaded."""

    def add(self, keys: Iterable[str]) -> None:
        """Remember more keys."""


class DatabaseState:
    """The record in the database. Workers write it with what they load; only keys of whole parts come later."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._keys: set[str] = set()

    def recall(self) -> set[str]:
        """Return the keys of all that was loaded into this database."""
        self._keys = asyncio.run(self._read())
        return self._keys

    def add(self, keys: Iterable[str]) -> None:
        """Do nothing: each key was recorded by the transaction that loaded what it stands for."""

    async def _read(self) -> set[str]:
        async with services(self._settings) as shared:
            loads = shared.stores.loads
            # A transaction must not have to create the collection, so this is its first document.
            await loads.record(["format 1"])
            return await loads.keys()


class FileState:
    """A file of lines, each the URL of a server and a key that was loaded into it."""

    def __init__(self, path: Path, url: str) -> None:
        self._path = path
        self._url = url

    def recall(self) -> set[str]:
        """Return the keys of all that was loaded into this server."""
        if not self._path.exists():
            return set()
        pairs = (line.rstrip("\n").partition("\t") for line in self._path.open(encoding="utf-8"))
        return {key for url, _, key in pairs if url == self._url}

    def add(self, keys: Iterable[str]) -> None:
        """Append the keys, on disk when this returns."""
        with self._path.open("a", encoding="utf-8") as file:
            file.writelines(f"{self._url}\t{key}\n" for key in keys)
