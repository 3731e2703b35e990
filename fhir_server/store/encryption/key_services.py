"""Who wraps the keys of a database: a key that the operator keeps, or a key service through MongoDB's own client.

A database has keys of its own, which are stored in it wrapped. Without the wrapping key they are worth nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec
from bson.binary import STANDARD, Binary
from bson.codec_options import CodecOptions
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pymongo import AsyncMongoClient
from pymongo.errors import ConfigurationError, PyMongoError

from fhir_server.settings import Settings
from fhir_server.store.database.data_directory import StartupError
from fhir_server.store.encryption.key_ring import KEY_BYTES

Document = dict[str, Any]
KEY_VAULT = "server_key_vault"
"""The collection where MongoDB's client keeps the key that the service has wrapped."""
PROVIDERS = ("local", "kmip", "aws", "azure", "gcp")
_NONCE_BYTES = 12
_PURPOSE = b"fhir-server data key"


class WrongKey(StartupError):
    """The keys of the database were wrapped by another key than the one configured."""


class KeyService(Protocol):
    """Wraps the keys of databases, and unwraps them."""

    async def wrap(self, key: bytes) -> Document:
        """Return a key as it may be stored."""

    async def unwrap(self, wrapped: Mapping[str, Any]) -> bytes:
        """Return a stored key; raises WrongKey, and StartupError where the service cannot be asked."""


class OwnKey:
    """A key that the operator keeps in a file or the environment."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        self._name = hashlib.blake2b(key, digest_size=8, person=b"key name").hexdigest()

    async def wrap(self, key: bytes) -> Document:
        """Return a key as it may be stored."""
        nonce = os.urandom(_NONCE_BYTES)
        return {"service": "own", "name": self._name, "key": nonce + self._cipher.encrypt(nonce, key, _PURPOSE)}

    async def unwrap(self, wrapped: Mapping[str, Any]) -> bytes:
        """Return a stored key; raises WrongKey."""
        if wrapped.get("service") != "own":
            raise WrongKey(f"The keys of the database are wrapped by the key service {wrapped.get('service')}.")
        sealed = bytes(wrapped["key"])
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _PURPOSE)
        except (InvalidTag, ValueError) as error:
            raise WrongKey(
                f"The database was encrypted under another key (its name is {wrapped.get('name')}, that of the key "
                f"configured {self._name}). Nothing was changed; start with the key that it was encrypted under."
            ) from error


class _ServiceFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the file of a key service says, in the words of MongoDB's client-side encryption."""

    provider: str
    kms_providers: dict[str, dict[str, Any]]
    master_key: dict[str, Any] | None = None
    tls: dict[str, Any] | None = None


class MongoKeyService:
    """A key service that MongoDB's client speaks with: local, kmip, aws, azure or gcp.

    The service wraps a key in the collection `server_key_vault`, and that the keys of the database.
    https://www.mongodb.com/docs/manual/core/csfle/reference/kms-providers/
    """

    def __init__(self, settings: _ServiceFile, client: AsyncMongoClient[Any], database: str) -> None:
        self._settings = settings
        self._client = client
        self._vault = f"{database}.{KEY_VAULT}"

    async def wrap(self, key: bytes) -> Document:
        """Return a key as it may be stored."""
        from pymongo.encryption_shared import Algorithm

        encryption = self._encryption()
        try:
            vault_key = await encryption.create_data_key(self._settings.provider, master_key=self._settings.master_key)
            sealed = await encryption.encrypt(key, Algorithm.AEAD_AES_256_CBC_HMAC_SHA_512_Random, key_id=vault_key)
        except PyMongoError as error:
            raise self._failed(error) from error
        finally:
            await encryption.close()
        return {"service": self._settings.provider, "key": sealed}

    async def unwrap(self, wrapped: Mapping[str, Any]) -> bytes:
        """Return a stored key; raises WrongKey, and StartupError where the service cannot be asked."""
        if wrapped.get("service") != self._settings.provider:
            raise WrongKey(f"The keys of the database are wrapped by {wrapped.get('service')}.")
        encryption = self._encryption()
        try:
            return bytes(await encryption.decrypt(wrapped["key"]))
        except PyMongoError as error:
            raise self._failed(error) from error
        finally:
            await encryption.close()

    def _encryption(self) -> Any:
        from pymongo.asynchronous.encryption import AsyncClientEncryption

        try:
            return AsyncClientEncryption(
                self._settings.kms_providers,
                self._vault,
                self._client,
                CodecOptions(uuid_representation=STANDARD),
                kms_tls_options=self._settings.tls,
            )
        except ConfigurationError as error:
            raise StartupError("Key services need the extra: pip install 'fhir-server[kms]'.") from error

    def _failed(self, error: PyMongoError) -> StartupError:
        # Not what the driver says of it: that may hold credentials.
        return WrongKey(
            f"The key service {self._settings.provider} did not give the keys of the database "
            f"({type(error).__name__}). Nothing was changed."
        )


def read_key(text: bytes) -> bytes:
    """Return the key that a file or a variable holds: 32 bytes as they are, or in hexadecimal or base64.

    Raises ValueError.
    """
    if len(text) == KEY_BYTES:
        return text
    stripped = text.strip()
    try:
        key = (
            bytes.fromhex(stripped.decode())
            if len(stripped) == 2 * KEY_BYTES
            else base64.b64decode(stripped, validate=True)
        )
    except (ValueError, binascii.Error) as error:
        raise ValueError("it is neither 32 bytes nor their hexadecimal or base64") from error
    if len(key) != KEY_BYTES:
        raise ValueError(f"it has {len(key)} bytes, not {KEY_BYTES}")
    return key


def key_service(settings: Settings, client: AsyncMongoClient[Any]) -> KeyService | None:
    """Return what wraps the keys by the settings, None where nothing is to be encrypted; raises StartupError."""
    configured = [settings.encryption_key_file, settings.encryption_key, settings.encryption_key_service]
    if sum(each is not None for each in configured) > 1:
        raise StartupError("Set one of ENCRYPTION_KEY_FILE, ENCRYPTION_KEY and ENCRYPTION_KEY_SERVICE.")
    if settings.encryption_key_file is not None:
        return OwnKey(_own(_content(settings.encryption_key_file), f"The key file {settings.encryption_key_file}"))
    if settings.encryption_key is not None:
        return OwnKey(_own(settings.encryption_key.encode(), "ENCRYPTION_KEY"))
    if settings.encryption_key_service is not None:
        return MongoKeyService(_service(settings.encryption_key_service), client, settings.database_name)
    return None


def _content(path: Path) -> bytes:
    try:
        return path.expanduser().read_bytes()
    except OSError as error:
        raise StartupError(f"The file {path} cannot be read: {error.strerror}.") from error


def _own(content: bytes, what: str) -> bytes:
    try:
        return read_key(content)
    except ValueError as error:
        raise StartupError(f"{what} holds no key: {error}. `fhir-server encryption key FILE` makes one.") from error


def _service(path: Path) -> _ServiceFile:
    try:
        read = msgspec.json.decode(_content(path), type=_ServiceFile)
    except msgspec.DecodeError as error:
        raise StartupError(f"The file {path} describes no key service: {error}.") from error
    if read.provider not in PROVIDERS:
        raise StartupError(f"The key service of {path} is none of {', '.join(PROVIDERS)}.")
    local = read.kms_providers.get("local")
    if local is not None and isinstance(local.get("key"), str):
        local["key"] = Binary(base64.b64decode(local["key"]))
    return read
