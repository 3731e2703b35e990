"""Finding resources by index keys that few have, for many criteria with one command.

The database reads what has any of the keys; which of the criteria each document meets is told apart in memory.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pymongo.read_concern import ReadConcern

from fhir_server.search.planner.filters import filter_of
from fhir_server.search.query.conditions import Condition
from fhir_server.search.query.match import holds
from fhir_server.store.database.encoding import Document
from fhir_server.store.database.mongo import Database, Session
from fhir_server.store.database.time_limit import in_cursor, limited
from fhir_server.store.resources.documents import PROJECTION

MOST_MATCHES = 2
"""Matches of one of the criteria that are told: who asks wants to know of none, one, or several."""
_SPARE = 16
"""Documents that are read beyond those matches, before criteria count as too wide for this."""


@dataclass(frozen=True, slots=True)
class KeyCriteria:
    """A condition that keys alone decide; each match has one of `keys`, which few resources have."""

    keys: tuple[str, ...]
    condition: Condition


async def find_matches(
    database: Database,
    resource_type: str,
    criteria: Sequence[KeyCriteria],
    where: Condition | None,
    session: Session | None,
) -> list[list[Document] | None]:
    """Return for each of the criteria at most two documents that meet it; None where too much has the keys to tell.

    Outside a transaction it sees what a majority has.
    """
    keys = sorted({key for each in criteria for key in each.keys})
    condition: Document = {"keys": {"$in": keys}}
    limit = MOST_MATCHES * len(criteria) + _SPARE
    collection = database.current(resource_type)
    if session is None:
        collection = collection.with_options(read_concern=ReadConcern("majority"))
    with limited() as time:
        cursor = collection.find(
            {"$and": [condition, filter_of(where)]},
            {**PROJECTION, "keys": 1},
            session=session,
            limit=limit,
            batch_size=limit + 1,
            hint="keys",
            **in_cursor(time),
        )
        documents = await cursor.to_list()
    by_key: dict[str, list[Document]] = defaultdict(list)
    for document in documents:
        for key in document["keys"]:
            by_key[key].append(document)
    return [_told_apart(each, by_key, whole=len(documents) < limit) for each in criteria]


def _told_apart(criteria: KeyCriteria, by_key: Mapping[str, list[Document]], *, whole: bool) -> list[Document] | None:
    candidates = {document["_id"]: document for key in criteria.keys for document in by_key.get(key, ())}
    matches = [document for document in candidates.values() if holds(criteria.condition, document)][:MOST_MATCHES]
    return matches if whole or len(matches) == MOST_MATCHES else None
