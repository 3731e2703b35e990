"""The history of an instance, a type or the whole system: current and earlier versions as one list, newest first.

Rows are ordered by time, then type, then id; versions of one resource never share a time. A version may stand both as
the current one and as an earlier one: while an update is under way, or since one failed midway. It is then told once.
https://hl7.org/fhir/R4/http.html#history
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from fhir_server.search.query.conditions import Condition
from fhir_server.store.database.encoding import Document
from fhir_server.store.database.failures import translated
from fhir_server.store.database.mongo import Database
from fhir_server.store.database.time_limit import in_cursor, limited
from fhir_server.store.resources.documents import JSON_SIZE, SMALL_JSON
from fhir_server.store.resources.history_parts import EPOCH, MILLISECOND, Cursor, Part
from fhir_server.store.resources.history_total import count_versions
from fhir_server.store.resources.resources import PROJECTION, ResourceStore, Version

__all__ = ["Cursor", "HistoryStore", "Page"]

Access = Callable[[str], Condition | None]
_KEY: Document = {"updated": 1, "version": 1, "id": 1, "type": 1, "earlier": 1, "size": JSON_SIZE, "blob": 1}


@dataclass(frozen=True, slots=True)
class Page:
    """Versions, newest first; `next` is None on the last page."""

    versions: list[Version]
    next: Cursor | None


class HistoryStore:
    """Reads the versions that the resource store has kept."""

    def __init__(self, database: Database, resources: ResourceStore | None = None) -> None:
        self._database = database
        self._resources = resources or ResourceStore(database)

    async def page(
        self,
        *,
        type: str | None = None,
        id: str | None = None,
        since: datetime | None = None,
        at: tuple[datetime, datetime] | None = None,
        limit: int = 50,
        room: int | None = None,
        cursor: Cursor | None = None,
        access: Access = lambda _: None,
    ) -> Page:
        """Return a page of the history of one resource, of a type, or (without `type`) of all types.

        It has `limit` versions, or as many as `room` has bytes for, one at least.

        `since` keeps versions stored at that time or later, `at` those that were current at some time between the two
        inclusive, `access` those that meet the condition it returns for a type.
        """
        types = [type] if type is not None else await self._types()
        rows: list[Document] = []
        while True:
            parts = [Part(name, id, since, at and at[1], cursor, access(name)) for name in types]
            fresh = await self._rows(parts, limit + 1)
            rows += fresh if at is None else await self._current_since(fresh, at[0])
            if at is None or len(rows) > limit or len(fresh) <= limit:
                break
            cursor = _cursor(fresh[-1])
        versions, last = await self._versions(rows[:limit], room)
        more = _cursor(rows[last - 1]) if 0 < last < len(rows) else None
        return Page(versions, more)

    async def total(
        self,
        *,
        type: str | None = None,
        id: str | None = None,
        since: datetime | None = None,
        at: tuple[datetime, datetime] | None = None,
        until: datetime,
        access: Access = lambda _: None,
        exact: bool = True,
    ) -> int | None:
        """Return how many versions all pages of a history hold; `until` is the time of the newest, others the same.

        None where counting takes long, unless `exact`.
        """
        last = until if at is None else min(until, at[1])
        types = [type] if type is not None else await self._types()
        parts = [Part(name, id, since, last, None, access(name)) for name in types]
        return await count_versions(self._database, parts, current_at=None if at is None else at[0], exact=exact)

    async def _types(self) -> list[str]:
        names = await self._database.collection_names()
        return sorted(name.removesuffix("_history") for name in names if name.endswith("_history"))

    async def _rows(self, parts: list[Part], limit: int) -> list[Document]:
        """Return the first rows, each once, with what is small of their content; with none where many types would
        carry it in vain.
        """
        shown = {**_KEY, **PROJECTION, "json": SMALL_JSON} if len(parts) == 1 else _KEY
        # All current versions before all earlier ones: a version that moves meanwhile is then seen at least once.
        union: list[Document] = [{"$documents": []}]
        rows_of = [part.rows(limit, shown) for part in parts]
        union += [current for current, _ in rows_of]
        union += [earlier for _, earlier in rows_of]
        # A version that stands twice may take two of the rows.
        union += [{"$sort": {"updated": -1, "type": 1, "id": 1}}, {"$limit": 2 * limit}]
        with translated, limited() as limits:
            rows = await self._database.rows(union, allowDiskUse=True, **limits)
        return list(_once(rows))[:limit]

    async def _current_since(self, rows: list[Document], time: datetime) -> list[Document]:
        """Return the rows whose version was still current at the time, or came later."""
        kept = []
        for row in rows:
            if row["updated"] >= time:
                kept.append(row)
                continue
            replaced = await self._replaced_at(row["type"], row["id"], row["version"])
            if replaced is None or replaced > time:
                kept.append(row)
        return kept

    async def _replaced_at(self, resource_type: str, resource_id: str, version: int) -> datetime | None:
        """Return when the version that came after one was stored, None where none did: those between may be purged."""
        earlier: Document = {"id": resource_id, "version": {"$gt": version}}
        current: Document = {"_id": resource_id, "version": {"$gt": version}}
        time: Document = {"updated": 1}
        with translated, limited() as limit:
            history = self._database.history(resource_type)
            document = await history.find_one(earlier, time, sort=[("version", 1)], **in_cursor(limit))
            document = document or await self._database.current(resource_type).find_one(
                current, time, **in_cursor(limit)
            )
        return None if document is None else document["updated"]

    async def _versions(self, rows: list[Document], room: int | None) -> tuple[list[Version], int]:
        """Return the versions of rows from the first on as there is room, and of how many rows they are."""
        blobs = await self._resources.blobs.sizes([row["blob"] for row in rows if "blob" in row])
        sizes = [row.get("size") or blobs.get(row.get("blob", ""), 0) for row in rows]
        versions: list[Version] = []
        last = 0
        # None of a stretch may be left where it has been erased meanwhile.
        while not versions and last < len(rows):
            first, last = last, _fitting(sizes, last, room)
            versions = await self._contents(rows[first:last])
        return versions, last

    async def _contents(self, rows: list[Document]) -> list[Version]:
        """Return the versions of rows, but for those that have been erased since they were read."""
        places_by_type: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for row in rows:
            if not _is_whole(row):
                places_by_type[row["type"]].append((row["id"], row["version"]))
        read = {name: await self._resources.read_versions(name, each) for name, each in places_by_type.items()}
        contents = [
            await self._resources.version(row["type"], row["id"], row)
            if _is_whole(row)
            else read[row["type"]].get((row["id"], row["version"]))
            for row in rows
        ]
        return [each for each in contents if each is not None]


def _is_whole(row: Document) -> bool:
    """Return whether a row has its content with it."""
    return "json" in row or row.get("method") == "DELETE"


def _fitting(sizes: list[int], first: int, room: int | None) -> int:
    """Return the end of the rows from the first on that there is room for, one at least."""
    used = 0
    for number in range(first, len(sizes)):
        used += sizes[number]
        if room is not None and used > room and number > first:
            return number
    return len(sizes)


def _cursor(row: Document) -> Cursor:
    return Cursor((row["updated"] - EPOCH) // MILLISECOND, row["type"], row["id"])


def _once(rows: list[Document]) -> Iterable[Document]:
    last: Cursor | None = None
    for row in rows:
        key = _cursor(row)
        if key != last:
            yield row
        last = key
