"""The keys of a database as they are stored in it, wrapped: making them, opening them, and refusing a wrong one.

What is refused is refused before anything is written.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pymongo.errors import DuplicateKeyError

from fhir_server.errors import Conflict
from fhir_server.store.database.data_directory import StartupError
from fhir_server.store.database.failures import translated
from fhir_server.store.database.mongo import Database
from fhir_server.store.encryption.key_ring import KEY_BYTES, KeyRing
from fhir_server.store.encryption.key_services import KEY_VAULT, KeyService

COLLECTION = "server_keys"
_NAME = "keys"
LAYOUT = 1
_UNENCRYPTED = frozenset({COLLECTION, KEY_VAULT})

Document = dict[str, Any]


async def unlock(database: Database, service: KeyService | None) -> None:
    """Let the database be read and written by its keys, which are made where it is empty.

    Raises StartupError, with nothing changed, where a key is configured and the database is not encrypted, where it is
    and none is, and where the key is another.
    """
    document = await stored(database)
    if document is None:
        if service is None:
            return
        await _require_empty(database)
        document = await _make(database, service)
    elif service is None:
        raise StartupError(
            "The database is encrypted, and no key is configured: set ENCRYPTION_KEY_FILE, ENCRYPTION_KEY or "
            "ENCRYPTION_KEY_SERVICE. Nothing was changed."
        )
    _require_settled(document)
    database.encrypt(await opened(document, service))


async def change(database: Database, before: Mapping[str, Any], **fields: Any) -> Document:
    """Change the stored keys, of which each change has a number of its own (`edit`), and return them.

    Raises Conflict where another has changed them meanwhile.
    """
    after = {**before, **fields, "edit": before["edit"] + 1}
    with translated:
        changed = await database.raw[COLLECTION].replace_one({"_id": _NAME, "edit": before["edit"]}, after)
    if changed.matched_count == 0:
        raise Conflict("The keys of the database are being changed by another process; try again.")
    return after


async def note_erasure(database: Database) -> None:
    """Note that something was erased which was sealed by the present data key."""
    with translated:
        await database.raw[COLLECTION].update_one(
            {"_id": _NAME, "erased": None}, {"$set": {"erased": datetime.now(UTC)}, "$inc": {"edit": 1}}
        )


async def wrapped_anew(document: Mapping[str, Any], old: KeyService, new: KeyService) -> Document:
    """Return the fields of the stored keys, wrapped by another service, or by another key of the operator's."""
    data = [{**each, "wrapped": await new.wrap(await old.unwrap(each["wrapped"]))} for each in document["data"]]
    return {"data": data, "index": await new.wrap(await old.unwrap(document["index"]))}


async def stored(database: Database) -> Document | None:
    """Return the keys as they are stored; None where the database is not encrypted."""
    with translated:
        return await database.raw[COLLECTION].find_one({"_id": _NAME})


async def opened(document: Mapping[str, Any], service: KeyService) -> KeyRing:
    """Return the keys; raises StartupError where the service does not open them, or they are of a newer server."""
    if document["layout"] > LAYOUT:
        raise StartupError("The database was encrypted by a newer server. Nothing was changed.")
    return KeyRing(await data_keys(document, service), document["current"], await service.unwrap(document["index"]))


async def data_keys(document: Mapping[str, Any], service: KeyService) -> dict[int, bytes]:
    """Return the data keys by their numbers; raises StartupError where the service does not open them."""
    return {each["number"]: await service.unwrap(each["wrapped"]) for each in document["data"]}


async def _make(database: Database, service: KeyService) -> Document:
    """Store new keys and return them; of several workers that start at once, all get the same."""
    return await insert(database, await fresh(service))


async def insert(database: Database, document: Document) -> Document:
    """Store new keys, unless there are some, and return those that are there."""
    with translated:
        try:
            await database.raw[COLLECTION].insert_one(document)
        except DuplicateKeyError:
            document = await stored(database) or document
    return document


async def remove(database: Database) -> None:
    """Forget the keys: nothing is sealed by them any more."""
    with translated:
        await database.raw.drop_collection(COLLECTION)
        await database.raw.drop_collection(KEY_VAULT)


async def fresh(service: KeyService, state: str = "on") -> Document:
    """Return new keys, wrapped; they are to be stored."""
    return {
        "_id": _NAME,
        "layout": LAYOUT,
        "edit": 1,
        "state": state,
        "current": 1,
        "data": [{"number": 1, "wrapped": await service.wrap(os.urandom(KEY_BYTES))}],
        "index": await service.wrap(os.urandom(KEY_BYTES)),
    }


async def _require_empty(database: Database) -> None:
    names = [name for name in await database.collection_names() if name not in _UNENCRYPTED]
    for name in names:
        with translated:
            if await database.raw[name].find_one({}, {"_id": 1}) is not None:
                raise StartupError(
                    "A key is configured, and the database is not encrypted. Stop all servers on it and run "
                    "`fhir-server encryption on`, or start without the key. Nothing was changed."
                )


def _require_settled(document: Mapping[str, Any]) -> None:
    if document["state"] != "on":
        raise StartupError(
            f"The database is being {'encrypted' if document['state'] == 'encrypting' else 'decrypted'}, which was "
            "broken off. Run the same `fhir-server encryption` command again to its end."
        )
