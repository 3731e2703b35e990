"""Finding given versions of resources, where they are: among the current ones or in history.

Current first: a version that moves into history meanwhile is already there when it is no longer here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fhir_server.search.planner.filters import filter_of
from fhir_server.search.query.conditions import Condition
from fhir_server.store.database.encoding import Document
from fhir_server.store.database.failures import translated
from fhir_server.store.database.mongo import Database, Session
from fhir_server.store.database.time_limit import in_cursor, limited
from fhir_server.store.resources.documents import PROJECTION, of_earlier


async def find_versions(
    database: Database,
    resource_type: str,
    places: Sequence[tuple[str, int]],
    projection: Mapping[str, int] = PROJECTION,
) -> dict[tuple[str, int], Document]:
    """Return what the projection names of those of the versions, each an id and a number, that there are."""
    documents: dict[tuple[str, int], Document] = {}
    current, history = database.current(resource_type), database.history(resource_type)
    ids, numbers = {resource_id for resource_id, _ in places}, {version for _, version in places}
    with translated, limited() as limit:
        some = {"_id": {"$in": list(ids)}, "version": {"$in": list(numbers)}}
        for document in await current.find(some, projection, **in_cursor(limit)).to_list():
            documents[document["_id"], document["version"]] = document
    earlier = [f"{resource_id}/{version}" for resource_id, version in places if (resource_id, version) not in documents]
    if earlier:
        with translated, limited() as limit:
            for document in await history.find({"_id": {"$in": earlier}}, projection, **in_cursor(limit)).to_list():
                documents[document["_id"].rpartition("/")[0], document["version"]] = document
    return documents


async def find_version(
    database: Database,
    resource_type: str,
    resource_id: str,
    version: int,
    *,
    where: Condition | None,
    projection: Mapping[str, int],
    session: Session | None = None,
) -> Document | None:
    """Return the fields of a version that the projection names; None where there is none, or none that meets `where`.

    An earlier version must meet it, and the current one too.
    """
    current, history = database.current(resource_type), database.history(resource_type)
    condition: Document = {"$and": [{"_id": resource_id, "version": version}, filter_of(where)]}
    with translated, limited() as limit:
        document = await current.find_one(condition, projection, session=session, **in_cursor(limit))
        if document is None and where is not None:
            seen: Document = {"$and": [{"_id": resource_id}, filter_of(where)]}
            if await current.find_one(seen, {"_id": 1}, session=session, **in_cursor(limit)) is None:
                return None
        if document is None:
            condition = {"$and": [{"_id": f"{resource_id}/{version}"}, of_earlier(filter_of(where))]}
            document = await history.find_one(condition, projection, session=session, **in_cursor(limit))
    return document


_ENTRY = {"version": 1, "updated": 1, "method": 1, "keys": 1, "ranges": 1, "shape": 1}


async def index_entries(
    database: Database, resource_type: str, places: Sequence[tuple[str, int]]
) -> dict[tuple[str, int], Document]:
    """Return what `search.query.match.holds` decides on, of those of the versions that there are, with their `method`.

    A deletion has no keys; what could not be indexed has none either.
    """
    documents = await find_versions(database, resource_type, places, _ENTRY)
    return {key: {"keys": [], "shape": "", **document, "_id": key[0]} for key, document in documents.items()}
