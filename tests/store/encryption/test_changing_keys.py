"""Turning encryption on and off, rotating the data key, and wrapping it anew leave everything as it was."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import encode

from fhir_server.engine.context import Context, Request, Services
from fhir_server.engine.engine import handle
from fhir_server.engine.gdpr.erasure import erase_patient
from fhir_server.errors import Unavailable
from fhir_server.jobs.key_rotation import begin, go_on, is_due
from fhir_server.r4 import values
from fhir_server.services import services_on
from fhir_server.settings import Settings
from fhir_server.store.database.data_directory import StartupError
from fhir_server.store.database.mongo import Database
from fhir_server.store.encryption.conversion import convert
from fhir_server.store.encryption.following import KeyFollower
from fhir_server.store.encryption.key_ring import is_sealed, key_number
from fhir_server.store.encryption.key_services import OwnKey
from fhir_server.store.encryption.stored_keys import change, fresh, insert, opened, stored, unlock, wrapped_anew

KEY = OwnKey(bytes(range(32)))
CANARY = "qzcanary"
LARGE = "x" * 3_000_000


async def _fhir(database: Database, method: str, path: str, resource: Any = None) -> Any:
    services = await services_on(database, Settings(blob_threshold_bytes=1_000_000, search_core_definitions=False))
    url, _, query = path.partition("?")
    pairs = [(name, value) for name, _, value in (pair.partition("=") for pair in query.split("&") if pair)]
    answer = await handle(Context(services, "http://server.test/fhir"), Request(method, url, pairs, resource))
    return values.decode(answer.json) if answer.json else None


async def _fill(database: Database) -> None:
    for number, family in enumerate((CANARY, "other")):
        patient = {"resourceType": "Patient", "id": str(number), "name": [{"family": family}]}
        await _fhir(database, "PUT", f"Patient/{number}", patient)
    await _fhir(
        database, "PUT", "Patient/0", {"resourceType": "Patient", "id": "0", "name": [{"family": f"{CANARY}2"}]}
    )
    note = {"resourceType": "Basic", "id": "b", "code": {"text": CANARY}, "text": {"status": "generated", "div": ""}}
    note["text"]["div"] = f'<div xmlns="http://www.w3.org/1999/xhtml">{LARGE}</div>'  # type: ignore[index]
    await _fhir(database, "PUT", "Basic/b", note)
    await database.collection("login_names").insert_one({"_id": f"email:{CANARY}", "user": "1"})
    await database.collection("oauth_users").insert_one({"_id": "1", "name": CANARY, "username": CANARY})
    await database.collection("server_subscriptions").insert_one({"_id": "1", "subscriber": None, "json": b"{}"})


async def _require_filled(database: Database) -> None:
    assert (await _fhir(database, "GET", f"Patient?family={CANARY}"))["entry"][0]["resource"]["id"] == "0"
    earlier = await _fhir(database, "GET", "Patient/0/_history/1")
    assert earlier["name"] == [{"family": CANARY}]
    assert len((await _fhir(database, "GET", "Basic/b"))["text"]["div"]) > len(LARGE)
    assert await database.collection("login_names").find_one({"_id": f"email:{CANARY}"})
    user = await database.collection("oauth_users").find_one({"name": CANARY})
    assert user == {"_id": "1", "name": CANARY, "username": CANARY}


async def _documents(database: Database) -> dict[str, list[Any]]:
    names = sorted(await database.collection_names())
    return {name: await database.raw[name].find().sort("_id", 1).to_list() for name in names}


def _holds_canary(documents: dict[str, list[Any]]) -> set[str]:
    return {name for name, some in documents.items() for each in some if CANARY.encode() in encode(each)}


@pytest.fixture
async def plain(mongod_url: str, database_name: str) -> AsyncIterator[Database]:
    """Yield a plain database."""
    connected = await Database.connect(mongod_url, database_name)
    yield connected
    await connected.close()


async def test_a_plain_database_becomes_encrypted_and_plain_again(plain: Database, mongod_url: str) -> None:
    """All is found as before; nothing of it is left in clear; and back, each document is what it was."""
    await _fill(plain)
    before = await _documents(plain)
    assert {"Patient", "Patient_history", "Basic", "login_names", "oauth_users"} <= _holds_canary(before)
    encrypted = await Database.connect(mongod_url, plain.name)
    document = await insert(plain, await fresh(KEY, "encrypting"))
    with pytest.raises(StartupError, match="broken off"):
        await unlock(plain, KEY)
    encrypted.encrypt(await opened(document, KEY))
    assert await convert(plain, encrypted, lambda done: None, encrypting=True)
    assert await convert(plain, encrypted, lambda done: None, encrypting=True) == 0
    assert _holds_canary(await _documents(plain)) == set()
    await change(plain, document, state="on")
    await _require_filled(encrypted)
    assert await convert(plain, encrypted, lambda done: None, encrypting=False)
    await plain.raw.drop_collection("server_keys")
    await _require_filled(plain)
    after = await _documents(plain)
    for name in ("Patient", "Patient_history", "login_names", "oauth_users", "server_subscriptions"):
        assert after[name] == before[name], name
    await encrypted.close()


@pytest.fixture
async def shared(plain: Database) -> AsyncIterator[Services]:
    """Yield the services on an encrypted database, which follow its keys."""
    await unlock(plain, KEY)
    services = await services_on(plain, Settings(blob_threshold_bytes=1_000_000, search_core_definitions=False))
    services.keys = KeyFollower(plain, KEY, services.following.say)
    await services.keys.look()
    await services.following.start()
    yield services
    await services.following.stop()


async def test_the_data_key_is_rotated(shared: Services) -> None:
    """Everything is sealed by the new key afterwards, and the old one is gone."""
    database, keys = shared.database, shared.keys
    assert keys is not None
    await _fill(database)
    await begin(keys)
    await begin(keys)  # a second time while one is under way
    assert await go_on(shared, keys)
    assert await go_on(shared, keys) == 0
    document = await stored(database)
    assert document is not None
    assert ([each["number"] for each in document["data"]], document["current"]) == ([2], 2)
    assert database.cipher is not None
    assert database.cipher.ring.numbers == {2}
    sealed = [value for some in (await _documents(database)).values() for each in some for value in each.values()]
    assert {key_number(value) for value in sealed if is_sealed(value)} == {2}
    await _require_filled(database)


async def test_an_erasure_has_the_data_key_destroyed(shared: Services) -> None:
    """By the next rotation, which is due at once, and at most once a day: what is left of the person does not open."""
    database, keys = shared.database, shared.keys
    assert keys is not None
    await _fill(database)
    raw = await database.raw["Patient"].find_one({"_id": "0"})
    assert raw is not None
    await erase_patient(shared, "http://server.test/fhir", "0")
    document = await stored(database)
    assert document is not None
    assert is_due(document, datetime.now(UTC))
    await begin(keys)
    await go_on(shared, keys)
    await database.raw["Patient"].insert_one(raw)
    with pytest.raises(Unavailable):
        await database.current("Patient").find_one({"_id": "0"})
    await keys.note_erasure()
    document = await stored(database)
    assert document is not None
    assert not is_due(document, datetime.now(UTC))
    assert is_due(document, datetime.now(UTC) + timedelta(days=2))


async def test_the_keys_are_wrapped_by_another_key(shared: Services, mongod_url: str) -> None:
    """Then the new key opens the database, and the old one does not."""
    document, new = await stored(shared.database), OwnKey(os.urandom(32))
    assert document is not None
    await _fill(shared.database)
    await change(shared.database, document, **await wrapped_anew(document, KEY, new))
    other = await Database.connect(mongod_url, shared.database.name)
    with pytest.raises(StartupError, match="another key"):
        await unlock(other, KEY)
    await unlock(other, new)
    await _require_filled(other)
    await other.close()
