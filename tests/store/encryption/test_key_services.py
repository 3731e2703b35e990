"""Key services: the one that MongoDB's client has in itself is tried, the others go the same way."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fhir_server.settings import Settings
from fhir_server.store.database.data_directory import StartupError
from fhir_server.store.database.mongo import Database
from fhir_server.store.encryption.key_services import OwnKey, key_service
from fhir_server.store.encryption.stored_keys import unlock


@pytest.fixture
async def unencrypted(mongod_url: str, database_name: str) -> AsyncIterator[Database]:
    """Yield an empty database that nobody has encrypted."""
    connected = await Database.connect(mongod_url, database_name)
    yield connected
    await connected.close()


def _settings(database: Database, file: Path, key: bytes) -> Settings:
    described = {"provider": "local", "kms_providers": {"local": {"key": base64.b64encode(key).decode()}}}
    file.write_text(json.dumps(described))
    return Settings(encryption_key_service=file, database_name=database.name)


async def test_a_key_service_opens_the_database(unencrypted: Database, mongod_url: str, tmp_path: Path) -> None:
    """It wraps and unwraps the keys; another master key, and a key of the operator's, do not."""
    settings = _settings(unencrypted, tmp_path / "service.json", os.urandom(96))
    await unlock(unencrypted, key_service(settings, unencrypted.client))
    await unencrypted.collection("confirmations").insert_one({"_id": "1", "what": {"a": 1}})
    again = await Database.connect(mongod_url, unencrypted.name)
    await unlock(again, key_service(settings, again.client))
    assert await again.collection("confirmations").find_one({"_id": "1"}) == {"_id": "1", "what": {"a": 1}}
    wrong = _settings(unencrypted, tmp_path / "wrong.json", os.urandom(96))
    for service in (key_service(wrong, again.client), OwnKey(os.urandom(32))):
        with pytest.raises(StartupError):
            await unlock(again, service)
    await again.close()


@pytest.mark.parametrize(
    ("text", "reason"),
    [("{", "describes no key service"), ('{"provider": "mine", "kms_providers": {}}', "none of local, kmip")],
)
def test_a_wrong_description_is_refused(text: str, reason: str, tmp_path: Path) -> None:
    """By what is wrong with it."""
    (tmp_path / "service.json").write_text(text)
    with pytest.raises(StartupError, match=reason):
        key_service(Settings(encryption_key_service=tmp_path / "service.json"), None)  # type: ignore[arg-type]


def test_one_key_is_configured(tmp_path: Path) -> None:
    """Two say nothing certain, and a file without a key says how to make one."""
    both = Settings(encryption_key="00" * 32, encryption_key_file=tmp_path / "none")
    with pytest.raises(StartupError, match="one of"):
        key_service(both, None)  # type: ignore[arg-type]
    (tmp_path / "empty").write_text("")
    with pytest.raises(StartupError, match="encryption key FILE"):
        key_service(Settings(encryption_key_file=tmp_path / "empty"), None)  # type: ignore[arg-type]
