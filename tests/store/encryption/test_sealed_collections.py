"""Documents of an encrypted database are found by what they were, and hold nothing of it in clear."""

from __future__ import annotations

from typing import Any

import pytest
from bson import encode
from pymongo import UpdateOne

from fhir_server.errors import Unavailable
from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.store.database.mongo import Database
from fhir_server.store.encryption.key_services import OwnKey
from fhir_server.store.encryption.layouts import LAYOUTS
from fhir_server.store.encryption.stored_keys import unlock
from fhir_server.store.resources.resources import ResourceStore
from tests.store.drafts import draft

CANARY = "zqcanary"


@pytest.fixture
async def encrypted(mongod_url: str, database_name: str) -> Any:
    """Yield an encrypted database."""
    connected = await Database.connect(mongod_url, database_name)
    await unlock(connected, OwnKey(bytes(range(32))))
    yield connected
    await connected.close()


async def _raw(database: Database, name: str) -> bytes:
    return b"".join(map(encode, await database.raw[name].find().to_list()))


async def test_blind_ids_are_found_and_told(encrypted: Database) -> None:
    """By equality and among others; an upsert keeps what the id was."""
    names = encrypted.collection("login_names")
    await names.insert_one({"_id": f"email:{CANARY}", "user": "1"})
    await names.update_one({"_id": f"phone:{CANARY}"}, {"$set": {"user": "1"}}, upsert=True)
    await names.bulk_write([UpdateOne({"_id": f"name:{CANARY}"}, {"$set": {"user": "2"}}, upsert=True)])
    assert await names.find_one({"_id": f"email:{CANARY}"}) == {"_id": f"email:{CANARY}", "user": "1"}
    wanted = {"_id": {"$in": [f"phone:{CANARY}", f"name:{CANARY}", "other"]}}
    assert {each["_id"] for each in await names.find(wanted, {"_id": 1}).to_list()} == set(wanted["_id"]["$in"][:2])
    assert await names.count_documents({"user": "1", "_id": {"$nin": [f"email:{CANARY}"]}}) == 1
    assert CANARY.encode() not in await _raw(encrypted, "login_names")


async def test_blind_fields_are_found_and_told(encrypted: Database) -> None:
    """Also after a change, and by another process's handle."""
    users = encrypted.collection("oauth_users")
    await users.insert_one(
        {"_id": "1", "name": CANARY, "username": CANARY.upper(), "password": "hash", "role": "staff"}
    )
    document = await users.find_one({"name": CANARY})
    assert document is not None
    assert (document["name"], document["username"]) == (CANARY, CANARY.upper())
    await users.update_one({"_id": "1"}, {"$set": {"name": f"{CANARY}2"}})
    assert await users.find_one({"name": CANARY}) is None
    assert [each["name"] for each in await users.find({}, {"name": 1}).to_list()] == [f"{CANARY}2"]
    assert CANARY.encode() not in (await _raw(encrypted, "oauth_users")).lower()


async def test_values_do_not_open_in_another_row(encrypted: Database) -> None:
    """A value that was put into another row is not read as if it were that one's."""
    waiting = encrypted.collection("confirmations")
    await waiting.insert_many([{"_id": "1", "what": {"a": 1}}, {"_id": "2", "what": {"a": 2}}])
    (first,) = await encrypted.raw["confirmations"].find({"_id": "1"}).to_list()
    await encrypted.raw["confirmations"].update_one({"_id": "2"}, {"$set": {"what": first["what"]}})
    assert await waiting.find_one({"_id": "1"}) == {"_id": "1", "what": {"a": 1}}
    with pytest.raises(Unavailable):
        await waiting.find_one({"_id": "2"})


async def test_what_is_sealed_cannot_be_searched_or_half_changed(encrypted: Database) -> None:
    """A mistake in the server is an error, and never writes or asks in clear."""
    waiting = encrypted.collection("confirmations")
    with pytest.raises(TypeError):
        await waiting.find_one({"what": {"a": 1}})
    with pytest.raises(TypeError):
        await waiting.update_one({"_id": "1"}, {"$set": {"what.a": 1}})
    with pytest.raises(TypeError):
        await waiting.update_one({"_id": "1"}, [{"$set": {"what": 1}}])
    with pytest.raises(TypeError):
        await waiting.update_one({"_id": "1"}, {"$push": {"what": 1}})


async def test_versions_open_as_themselves_only(encrypted: Database) -> None:
    """A version that was put under another id is not served; in the history it is what it was."""
    store = ResourceStore(encrypted)
    first = draft("1", name=[{"family": CANARY}])
    await store.insert(first)
    stored = await store.read("Patient", "1")
    assert stored is not None
    assert stored.json == first.json
    await store.replace(draft("1", stored), stored)
    earlier = await store.read_version("Patient", "1", 1)
    assert earlier is not None
    assert earlier.json == first.json
    raw = await encrypted.raw["Patient"].find_one({"_id": "1"})
    assert raw is not None
    await encrypted.raw["Patient"].insert_one({**raw, "_id": "2"})
    with pytest.raises(Unavailable):
        await store.read("Patient", "2")
    assert CANARY.encode() not in await _raw(encrypted, "Patient_history")


def test_every_collection_is_accounted_for() -> None:
    """A layout names no collection of resources, whose documents are sealed by their own rule."""
    assert not LAYOUTS.keys() & RESOURCE_TYPES
