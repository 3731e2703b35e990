"""Which stored resources have an index that an earlier release of the server made.

Each document bears the version of its index. So that nobody looks through collections in which all is current, it is
written down of each collection up to which version it is so.
"""

from __future__ import annotations

from collections.abc import Sequence

from fhir_server.search.index.index import INDEX_VERSION
from fhir_server.store.database.encoding import Document
from fhir_server.store.database.failures import translated
from fhir_server.store.database.mongo import Database
from fhir_server.store.resources.documents import INDEXED
from fhir_server.store.resources.reindexing import stored_types

OLDER: Document = {"method": {"$ne": "DELETE"}, INDEXED: {"$ne": INDEX_VERSION}}
"""What a document meets whose index is of another version."""
_COLLECTION = "index_versions"


async def outdated(database: Database) -> list[str]:
    """Return the collections that may hold resources with an older index."""
    with translated:
        up_to_date = {"version": INDEX_VERSION}
        current = {each["_id"] async for each in database.collection(_COLLECTION).find(up_to_date, {"_id": 1})}
    return [name for name in await stored_types(database) if name not in current]


async def count_older(database: Database, collections: Sequence[str]) -> int:
    """Return how many resources in the collections have an older index; each collection is read whole."""
    with translated:
        return sum([await database.current(name).count_documents(OLDER) for name in collections])


async def note_current(database: Database, collection: str) -> None:
    """Write down that no resource in the collection has an older index any more."""
    with translated:
        await database.collection(_COLLECTION).update_one(
            {"_id": collection}, {"$set": {"version": INDEX_VERSION}}, upsert=True
        )
