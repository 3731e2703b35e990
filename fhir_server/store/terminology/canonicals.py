"""Which stored resources have an index key, in which version: what is read by canonical URL, looked at anew each time.

The look costs one command for each type and tells the versions only; contents are read where a version is new. So a
change, a deletion and a purge show in the next request of every worker, whatever clocks say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fhir_server.errors import Unprocessable
from fhir_server.store.database.encoding import Document
from fhir_server.store.database.failures import translated
from fhir_server.store.database.mongo import Database, Session
from fhir_server.store.database.time_limit import in_cursor, limited
from fhir_server.store.resources.resources import ResourceStore, Version

MOST = 1000
"""Resources that one look may find."""


@dataclass(frozen=True, slots=True)
class CanonicalMatch:
    """A current resource: its version, and which of the keys asked for it has."""

    id: str
    version: int
    keys: frozenset[str]


class CanonicalStore:
    """Finds current resources of a type by their index keys."""

    def __init__(self, database: Database, resources: ResourceStore) -> None:
        self._database = database
        self._resources = resources

    async def find(
        self,
        resource_type: str,
        keys: Sequence[str],
        where: Mapping[str, Any] | None,
        session: Session | None = None,
    ) -> list[CanonicalMatch]:
        """Return the resources with one of the keys that the caller may see, the last changed last.

        Raises Unprocessable where there are more than MOST.
        """
        wanted: Document = {"keys": {"$in": list(keys)}}
        condition = wanted if where is None else {"$and": [wanted, dict(where)]}
        fields: Document = {"version": 1, "updated": 1, "named": {"$setIntersection": ["$keys", {"$literal": keys}]}}
        with translated, limited() as limit:
            current = self._database.current(resource_type)
            cursor = current.find(condition, fields, session=session, **in_cursor(limit)).limit(MOST + 1)
            documents = await cursor.to_list()
        if len(documents) > MOST:
            text = f"The operation would have to look at more than {MOST} stored {resource_type} resources."
            raise Unprocessable(text, code="too-costly")
        documents.sort(key=lambda each: (each["updated"], each["_id"]))
        return [CanonicalMatch(each["_id"], each["version"], frozenset(each["named"])) for each in documents]

    async def read(
        self, resource_type: str, matches: Sequence[CanonicalMatch], session: Session | None = None
    ) -> dict[tuple[str, int], Version]:
        """Return those of the versions that there still are, by id and number."""
        if session is not None:
            versions = await self._resources.read_many(resource_type, [each.id for each in matches], session)
            return {(each.id, each.version): each for each in versions.values() if not each.deleted}
        return await self._resources.read_versions(resource_type, [(each.id, each.version) for each in matches])
