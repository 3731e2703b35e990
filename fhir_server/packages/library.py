"""The definitions that this server has beside those of the site: R4's own, and those of installed packages.

R4's own lie in the code (`r4.official`) and are read there by id and url. For searches they are put into the database,
a type at a time, when that type is searched for the first time; so nothing is paid at start.

By canonical URL they are found with those of the site: `store.terminology.canonicals`.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version as package_version
from typing import Any

from fhir_server.packages.contents import DEFINITION_TYPES, stamped
from fhir_server.r4 import official, values
from fhir_server.search.index.keys import clean
from fhir_server.search.query.conditions import Condition
from fhir_server.store.database.mongo import Database, Session
from fhir_server.store.definitions.definitions import CORE_PACKAGE, Defined, Definition, DefinitionStore
from fhir_server.store.definitions.packages import PackageStore
from fhir_server.store.resources.resources import ResourceStore, Version
from fhir_server.store.terminology.canonicals import CanonicalStore
from fhir_server.work.budget import Budget, working
from fhir_server.work.threads import apart

Json = dict[str, Any]
Index = Callable[[dict[str, Any]], Mapping[str, Any]]

CORE_TYPES = frozenset(official.TYPES)
_PUBLISHED = datetime(2019, 11, 1, tzinfo=UTC)
"""When R4 4.0.1 was published, which is when its definitions were last changed."""
_UPDATED = "2019-11-01T00:00:00.000Z"
_AT_ONCE = 100
_SECONDS = 60.0
"""Processor time that the index of so many definitions may take; no caller has asked for that."""


class DefinitionLibrary:
    """The definitions of one database; `index` makes a resource's entry for the search index.

    `core` says whether searches find R4's own.
    """

    def __init__(
        self,
        database: Database,
        resources: ResourceStore,
        canonicals: CanonicalStore,
        index: Index,
        *,
        core: bool = True,
    ) -> None:
        self._core = core
        self.definitions = DefinitionStore(database, resources)
        self.packages = PackageStore(database)
        self._resources = resources
        self._canonicals = canonicals
        self._index = index
        self._loaded: set[str] = set()
        self._loading: dict[str, asyncio.Lock] = {}

    async def read(
        self,
        resource_type: str,
        resource_id: str,
        where: Condition | None = None,
        session: Session | None = None,
    ) -> Defined | None:
        """Return the definition with an id, None where there is none, or none that meets the caller's condition."""
        if resource_type not in DEFINITION_TYPES:
            return None
        core = core_version(resource_type, resource_id)
        if core is None:
            return await self.definitions.read(resource_type, resource_id, where, session)
        if where is None:
            return Defined(core, CORE_PACKAGE)
        await self.load_core(resource_type)
        return await self.definitions.read(resource_type, resource_id, where, session)

    async def owner(self, resource_type: str, resource_id: str) -> str | None:
        """Return the package that has an id, None for none."""
        if resource_type not in DEFINITION_TYPES:
            return None
        if resource_type in CORE_TYPES and official.official_url(resource_type, resource_id) is not None:
            return CORE_PACKAGE
        defined = await self.definitions.read(resource_type, resource_id)
        return None if defined is None else defined.package

    async def give_way(self, resource_type: str, ids: Collection[str], session: Session | None = None) -> None:
        """Take out of the searches what R4 defines under ids that the site uses now.

        Reading takes the site's before it anyway.
        """
        if resource_type not in CORE_TYPES:
            return
        taken = [each for each in ids if official.official_url(resource_type, each) is not None]
        if taken:
            await self.definitions.remove_core(resource_type, taken, session)

    async def stored(self, resource_type: str, ids: Collection[str]) -> Collection[str]:
        """Return those of the ids that the site has used, for something that is deleted now, too."""
        return await self._resources.read_many(resource_type, list(ids))

    async def with_urls(self, resource_type: str, urls: Collection[str]) -> set[str]:
        """Return those of the canonical URLs that something of the site or of a package has."""
        keys = {f"url={clean(each)}": each for each in urls}
        named = list(keys)
        looks = [named[start : start + _AT_ONCE] for start in range(0, len(named), _AT_ONCE)]
        matches = [each for some in looks for each in await self._canonicals.find(resource_type, some, None)]
        return {keys[key] for each in matches for key in each.keys}

    async def searched(self, resource_types: Iterable[str]) -> frozenset[str]:
        """Return the types of which there are definitions to search, R4's own made ready for it."""
        searched = set()
        for name in DEFINITION_TYPES.intersection(resource_types):
            if name in CORE_TYPES and self._core:
                await self.load_core(name)
                searched.add(name)
            elif await self.definitions.has_any(name):
                searched.add(name)
        return frozenset(searched)

    async def load_core(self, resource_type: str) -> None:
        """See that what R4 defines of a type can be searched: put into the database once, by whoever comes first."""
        if resource_type in self._loaded or resource_type not in CORE_TYPES:
            return
        async with self._loading.setdefault(resource_type, asyncio.Lock()):
            if resource_type in self._loaded:
                return
            edition = _edition()
            if await self.packages.core_loaded(resource_type) != edition:
                await self._put_core(resource_type)
                await self.packages.note_core(resource_type, edition)
            self._loaded.add(resource_type)

    async def _put_core(self, resource_type: str) -> None:
        await self.definitions.remove(resource_type, CORE_PACKAGE)
        urls = list(official.official_urls(resource_type))
        for start in range(0, len(urls), _AT_ONCE):
            with working(Budget(_SECONDS, caller="definitions")):
                made = await apart(self._core_definitions, resource_type, urls[start : start + _AT_ONCE])
            await self.definitions.keep(resource_type, made)
            # After they are there: what the site stores meanwhile takes them out by itself.
            used = await self.stored(resource_type, [each.id for each in made])
            await self.definitions.remove_core(resource_type, used)

    def _core_definitions(self, resource_type: str, urls: Collection[str]) -> list[Definition]:
        made = []
        for url in urls:
            resource = _core_resource(resource_type, url)
            if resource is not None:
                made.append(self.definition(resource, 1, _PUBLISHED, CORE_PACKAGE))
        return made

    def definition(self, resource: Json, number: int, updated: datetime, package: str) -> Definition:
        """Return a stamped resource as a definition to keep."""
        json = values.encode(resource)
        entry = self._index(resource)
        return Definition(resource["resourceType"], resource["id"], number, updated, json, entry, package)


def core_version(resource_type: str, resource_id: str) -> Version | None:
    """Return what R4 defines under a logical id, as a version that is read; None where it defines nothing."""
    if resource_type not in CORE_TYPES:
        return None
    url = official.official_url(resource_type, resource_id)
    resource = None if url is None else _core_resource(resource_type, url)
    if resource is None:
        return None
    return Version(resource_type, resource_id, 1, _PUBLISHED, "PUT", False, values.encode(resource))


def _core_resource(resource_type: str, url: str) -> Json | None:
    resource = official.official_resource(resource_type, url)
    return None if resource is None else stamped(resource, resource["id"], 1, _UPDATED, CORE_PACKAGE)


@cache
def _edition() -> str:
    """Return a name for what is shipped: with another release, or other definitions, they are put in anew."""
    ids = hashlib.sha256()
    for name in sorted(CORE_TYPES):
        for url in official.official_urls(name):
            ids.update(f"{name} {url} {official.official_size(name, url)}\n".encode())
    return f"{package_version('fhir-server')}/{ids.hexdigest()[:16]}"
