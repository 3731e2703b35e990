"""Which packages are installed, and how each has come here."""

from __future__ import annotations

from typing import Any

import msgspec

from fhir_server.store.database.encoding import Document
from fhir_server.store.database.failures import translated
from fhir_server.store.database.mongo import Database

_COLLECTION = "packages"


class InstalledPackage(msgspec.Struct, frozen=True, kw_only=True, rename={"requested": "wanted"}):
    """A package in the database; `dependencies` as its package.json states them."""

    id: str
    name: str
    version: str
    number: int
    """Of all installations the how-manieth it was: the version that its resources show."""
    installed: str
    """The moment, as a FHIR instant."""
    canonical: str | None = None
    title: str | None = None
    fhir_versions: tuple[str, ...] = ()
    dependencies: dict[str, str] = {}
    resolved: dict[str, str] = {}
    """The versions that stand for the dependencies; one that is missing has none."""
    integrity: str | None = None
    source: str = ""
    counts: dict[str, int] = {}
    """How many resources of each type it has brought."""
    left_out: tuple[str, ...] = ()
    """Files that are no valid resource of R4, with the reason."""
    search_parameters: bool = False
    """Whether its search parameters are used."""
    requested: bool = True
    """Whether it was asked for, and not only needed by another."""


class PackageStore:
    """Keeps the list of packages."""

    def __init__(self, database: Database) -> None:
        self._packages = database.collection(_COLLECTION)

    async def all(self) -> list[InstalledPackage]:
        """Return the installed packages, sorted by name and in the order of their installation."""
        with translated:
            documents = (
                await self._packages.find({"name": {"$exists": True}}).sort([("name", 1), ("number", 1)]).to_list()
            )
        return [_read(each) for each in documents]

    async def get(self, package: str) -> InstalledPackage | None:
        """Return an installed package by its id, None where it is not installed."""
        with translated:
            document = await self._packages.find_one({"_id": package, "name": {"$exists": True}})
        return None if document is None else _read(document)

    async def put(self, package: InstalledPackage) -> None:
        """Keep what a package is, in place of what was kept of it."""
        document: Document = msgspec.to_builtins(package)
        document["_id"] = document.pop("id")
        with translated:
            await self._packages.replace_one({"_id": package.id}, document, upsert=True)

    async def remove(self, package: str) -> None:
        """Forget a package."""
        with translated:
            await self._packages.delete_one({"_id": package})

    async def next_number(self) -> int:
        """Return the number of a new installation, which no other has had."""
        with translated:
            counter = await self._packages.find_one_and_update(
                {"_id": "counter"}, {"$inc": {"count": 1}}, upsert=True, return_document=True
            )
        assert counter is not None, "an upsert returns what it made"
        return int(counter["count"])

    async def core_loaded(self, resource_type: str) -> str | None:
        """Return in which edition the core definitions of a type are here, None where they are not."""
        with translated:
            document = await self._packages.find_one({"_id": f"core/{resource_type}"})
        return None if document is None else str(document["edition"])

    async def note_core(self, resource_type: str, edition: str) -> None:
        """Note that the core definitions of a type are here."""
        with translated:
            await self._packages.replace_one({"_id": f"core/{resource_type}"}, {"edition": edition}, upsert=True)

    async def search_parameters_used(self) -> list[str]:
        """Return the ids of the packages whose search parameters are used."""
        with translated:
            documents = await self._packages.find({"search_parameters": True}, {"_id": 1}).sort("number", 1).to_list()
        return [each["_id"] for each in documents]


def _read(document: Document) -> InstalledPackage:
    values: dict[str, Any] = {**document, "id": document["_id"]}
    return msgspec.convert(values, InstalledPackage)
