"""A database is opened with its key or not at all, and what is refused has changed nothing."""

from __future__ import annotations

import os
from typing import Any

import pytest

from fhir_server.store.database.data_directory import StartupError
from fhir_server.store.database.mongo import Database
from fhir_server.store.encryption.key_services import KeyService, OwnKey, WrongKey
from fhir_server.store.encryption.stored_keys import COLLECTION, unlock

KEY = OwnKey(bytes(32))


async def _reopened(mongod_url: str, name: str, service: KeyService | None) -> None:
    other = await Database.connect(mongod_url, name)
    try:
        await unlock(other, service)
    finally:
        await other.close()


async def _stored(database: Database) -> dict[str, list[Any]]:
    names = sorted(await database.collection_names())
    return {name: await database.raw[name].find().to_list() for name in names}


@pytest.fixture
async def unencrypted(mongod_url: str, database_name: str) -> Any:
    """Yield an empty database that nobody has encrypted."""
    connected = await Database.connect(mongod_url, database_name)
    yield connected
    await connected.close()


async def test_an_empty_database_gets_keys(unencrypted: Database, mongod_url: str) -> None:
    """They are stored wrapped, and open again with the same key."""
    await unlock(unencrypted, KEY)
    (stored,) = await unencrypted.raw[COLLECTION].find().to_list()
    assert unencrypted.cipher is not None
    for wrapped in (stored["index"], stored["data"][0]["wrapped"]):
        assert await KEY.unwrap(wrapped) not in wrapped["key"]
    await _reopened(mongod_url, unencrypted.name, KEY)


@pytest.mark.parametrize(("service", "reason"), [(OwnKey(os.urandom(32)), "another key"), (None, "no key")])
async def test_a_wrong_or_missing_key_is_refused(
    unencrypted: Database, mongod_url: str, service: KeyService | None, reason: str
) -> None:
    """Clearly, and nothing is damaged: the right key opens all of it afterwards."""
    await unlock(unencrypted, KEY)
    await unencrypted.collection("confirmations").insert_one({"_id": "1", "what": {"email": "mara@example.org"}})
    before = await _stored(unencrypted)
    with pytest.raises(StartupError, match=reason):
        await _reopened(mongod_url, unencrypted.name, service)
    assert await _stored(unencrypted) == before
    document = await unencrypted.collection("confirmations").find_one({"_id": "1"})
    assert document is not None
    assert document["what"] == {"email": "mara@example.org"}


async def test_a_plain_database_is_not_encrypted_by_the_way(unencrypted: Database) -> None:
    """What holds anything in clear is refused with a key, and says what to do."""
    await unencrypted.collection("confirmations").insert_one({"_id": "1", "what": {}})
    before = await _stored(unencrypted)
    with pytest.raises(StartupError, match="encryption on"):
        await unlock(unencrypted, KEY)
    assert unencrypted.cipher is None
    assert await _stored(unencrypted) == before


async def test_a_damaged_keyring_is_refused(unencrypted: Database) -> None:
    """Keys that were changed in the database are no keys."""
    await unlock(unencrypted, KEY)
    await unencrypted.raw[COLLECTION].update_one({}, {"$set": {"index.key": bytes(60)}})
    with pytest.raises(WrongKey):
        await unlock(unencrypted, KEY)
