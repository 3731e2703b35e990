"""What a history takes from the two collections of each type: the current versions and the earlier ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from fhir_server.search.planner.filters import filter_of
from fhir_server.search.query.conditions import Condition
from fhir_server.store.database.encoding import Document
from fhir_server.store.resources.documents import of_earlier

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


class Cursor(NamedTuple):
    """The last row of a page, from which the next one goes on; JSON can carry it."""

    updated: int
    """Milliseconds since 1970."""
    type: str
    id: str


@dataclass(frozen=True, slots=True)
class Part:
    """The versions of one type, or of one of its resources, stored from `since` until `until` (both inclusive) that
    meet `where`, as the current version of the same resource does; those behind the cursor.
    """

    type: str
    id: str | None
    since: datetime | None
    until: datetime | None
    cursor: Cursor | None
    where: Condition | None
    after: datetime | None = None
    before: datetime | None = None
    """Bounds that are not included."""

    def rows(self, limit: int, shown: Document) -> tuple[Document, Document]:
        """Return the stages that add the first current versions, and the first earlier ones."""
        order = {"updated": -1, "id": 1} if self.id is None else {"version": -1}

        def first(id_field: str) -> tuple[list[Document], list[Document]]:
            named = {id_field if name == "id" else name: way for name, way in order.items()}
            return [{"$sort": named}], [{"$limit": limit}, *self._named(id_field, shown)]

        return self._current(*first("_id")), self._earlier(*first("id"))

    def all(self, shown: Document) -> tuple[Document, Document]:
        """Return the stages that add all current versions, and all earlier ones, in no order."""
        return self._current([], self._named("_id", shown)), self._earlier([], self._named("id", shown))

    def counts(self, limit: int | None = None) -> tuple[Document, Document]:
        """Return the stages that add the number of current versions, and that of earlier ones, each up to a limit."""
        stages: list[Document] = [*([] if limit is None else [{"$limit": limit}]), {"$count": "n"}]
        return self._current([], stages), self._earlier([], stages)

    def sizes(self) -> tuple[Document, Document]:
        """Return the stages that add what the database keeps of the sizes of both collections, whatever is asked."""
        current, earlier = (
            {"$unionWith": {"coll": name, "pipeline": [{"$collStats": {"count": {}}}]}}
            for name in (self.type, f"{self.type}_history")
        )
        return current, earlier

    def _current(self, order: list[Document], stages: list[Document]) -> Document:
        return self._stage(self.type, "_id", [*order, *stages])

    def _earlier(self, order: list[Document], stages: list[Document]) -> Document:
        return self._stage(f"{self.type}_history", "id", [*order, *self._still_seen(), *stages])

    def _stage(self, collection: str, id_field: str, stages: list[Document]) -> Document:
        match: Document = {"$match": {"$and": list(self._conditions(id_field))}}
        return {"$unionWith": {"coll": collection, "pipeline": [match, *stages]}}

    def _still_seen(self) -> list[Document]:
        """Return the stages that keep earlier versions of what is seen now: what was corrected is not told of."""
        if self.where is None:
            return []
        now: Document = {
            "from": self.type,
            "localField": "id",
            "foreignField": "_id",
            "pipeline": [{"$match": filter_of(self.where)}, {"$project": {"_id": 1}}],
            "as": "now",
        }
        return [{"$lookup": now}, {"$match": {"now": {"$ne": []}}}, {"$unset": "now"}]

    def _named(self, id_field: str, shown: Document) -> list[Document]:
        return [{"$set": {"type": self.type, "id": f"${id_field}"}}, {"$project": shown}]

    def _conditions(self, id_field: str) -> Iterable[Mapping[str, Any]]:
        yield {id_field: self.id} if self.id is not None else {}
        yield {"updated": {"$gte": self.since}} if self.since else {}
        yield {"updated": {"$lte": self.until}} if self.until else {}
        yield {"updated": {"$gt": self.after}} if self.after else {}
        yield {"updated": {"$lt": self.before}} if self.before else {}
        seen = filter_of(self.where)
        yield of_earlier(seen) if id_field == "id" else seen
        if self.cursor is None:
            return
        time = EPOCH + self.cursor.updated * MILLISECOND
        if self.type < self.cursor.type:
            yield {"updated": {"$lt": time}}
        elif self.type > self.cursor.type:
            yield {"updated": {"$lte": time}}
        else:
            # The first term, which the others imply, is what bounds the index.
            yield {"updated": {"$lte": time}}
            yield {"$or": [{"updated": {"$lt": time}}, {id_field: {"$gt": self.cursor.id}}]}
