"""Which resources have an index key, in which version: what is read by canonical URL, looked at anew each time.

Those of the site and those of packages are found in one command.

The look costs one command for each type and tells the versions only; contents are read where a version is new. So a
change, a deletion and a purge show in the next request of every worker, whatever clocks say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from fhir_server.errors import Unprocessable
from fhir_server.search.planner.filters import filter_of
from fhir_server.search.query.conditions import Condition
from fhir_server.store.database.encoding import Document
from fhir_server.store.database.failures import translated
from fhir_server.store.database.mongo import Database, Session
from fhir_server.store.database.time_limit import limited
from fhir_server.store.definitions.definitions import CORE_PACKAGE
from fhir_server.store.resources.collections import collection_of
from fhir_server.store.resources.resources import ResourceStore, Version

MOST = 1000
"""Resources that one look may find."""


Place: TypeAlias = tuple[str, int, str | None, str | None]
"""Id, version, the package where it is a package's, and the file where its content is in one."""


@dataclass(frozen=True, slots=True)
class CanonicalMatch:
    """A current resource: its version, and which of the keys asked for it has; `package` is who has brought it."""

    id: str
    version: int
    keys: frozenset[str]
    package: str | None = None
    file: str | None = None
    """The file that has the content, where it is not in the resource."""

    @property
    def place(self) -> Place:
        """What it is told from all others of its type by."""
        return (self.id, self.version, self.package, self.file)


class CanonicalStore:
    """Finds current resources of a type by their index keys."""

    def __init__(self, database: Database, resources: ResourceStore) -> None:
        self._database = database
        self._resources = resources

    async def find(
        self,
        resource_type: str,
        keys: Sequence[str],
        where: Condition | None,
        session: Session | None = None,
    ) -> list[CanonicalMatch]:
        """Return the resources with one of the keys that the caller may see, the last changed last.

        Those of packages come first, so that the site's own stand in their place; R4's own are not among them. Raises
        Unprocessable where there are more than MOST.
        """
        condition: Document = {"$and": [{"keys": {"$in": list(keys)}}, filter_of(where)]}
        named = {"$setIntersection": ["$keys", {"$literal": keys}]}
        fields: Document = {"version": 1, "updated": 1, "package": 1, "file": 1, "named": named}
        of_packages: Document = {"$and": [condition, {"package": {"$ne": CORE_PACKAGE}}]}
        union = {"coll": collection_of(resource_type), "pipeline": [{"$match": of_packages}, {"$project": fields}]}
        stages: list[Document] = [{"$match": condition}, {"$project": fields}, {"$unionWith": union}]
        with translated, limited() as limit:
            current = self._database.current(resource_type)
            cursor = await current.aggregate([*stages, {"$limit": MOST + 1}], session=session, **limit)
            documents = await cursor.to_list()
        if len(documents) > MOST:
            text = f"The operation would have to look at more than {MOST} stored {resource_type} resources."
            raise Unprocessable(text, code="too-costly")
        cipher = self._database.cipher
        plain = {} if cipher is None else {cipher.ring.blind.key(key): key for key in keys}
        documents.sort(key=lambda each: ("package" not in each, each["updated"], each["_id"]))
        return [
            CanonicalMatch(
                each["_id"],
                each["version"],
                frozenset(plain.get(key, key) for key in each["named"]),
                each.get("package"),
                each.get("file"),
            )
            for each in documents
        ]

    async def read(
        self, resource_type: str, matches: Sequence[CanonicalMatch], session: Session | None = None
    ) -> dict[Place, Version]:
        """Return those of the versions that there still are, by their places."""
        own = [each for each in matches if each.package is None]
        brought = [each for each in matches if each.package is not None]
        versions = await self._stored(resource_type, own, session) if own else {}
        if brought:
            of_packages = await self._resources.read_many(
                collection_of(resource_type), [each.id for each in brought], session
            )
            for each in brought:
                version = of_packages.get(each.id)
                if version is not None and version.version == each.version:
                    versions[each.place] = version
        return versions

    async def _stored(
        self, resource_type: str, matches: Sequence[CanonicalMatch], session: Session | None
    ) -> dict[Place, Version]:
        if session is not None:
            current = await self._resources.read_many(resource_type, [each.id for each in matches], session)
            return {(each.id, each.version, None, None): each for each in current.values() if not each.deleted}
        places = [(each.id, each.version) for each in matches]
        return {
            (name, number, None, None): version
            for (name, number), version in (await self._resources.read_versions(resource_type, places)).items()
        }
