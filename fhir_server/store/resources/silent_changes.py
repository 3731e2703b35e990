"""Changes of what searches find that no version tells of: resources that are purged, or indexed anew.

Who remembers something of a collection asks for its number of such changes, and whether that is the same still.
"""

from __future__ import annotations

from fhir_server.store.database.encoding import Document
from fhir_server.store.database.failures import translated
from fhir_server.store.database.mongo import Database

_COLLECTION = "silent_changes"


async def note_silent_change(database: Database, collection: str) -> None:
    """Count a change that has been made."""
    with translated:
        await database.collection(_COLLECTION).update_one({"_id": collection}, {"$inc": {"number": 1}}, upsert=True)


def command_for(collection: str) -> Document:
    """Return the command that reads the number of changes, as `number`; no document where there was none."""
    return {"find": _COLLECTION, "filter": {"_id": collection}, "projection": {"number": 1}, "limit": 1}
