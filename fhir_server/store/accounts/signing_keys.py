"""The server's signing keys in the database: made when first needed, sealed, replaced when they are old.

They are encrypted under a master key that is not in the database: the setting `key_secret`, or a file of the data
directory that only its owner may read. A copy of the database alone signs nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fhir_server.auth.tokens.keys import RETENTION, ROTATION, SigningKey, make_key, seal_key, unseal_key
from fhir_server.settings import Settings
from fhir_server.store.database.data_directory import StartupError
from fhir_server.store.database.mongo import Database, translated

KEYS = "oauth_keys"
_FILE = "master.key"
_KEY_BYTES = 32
_REMEMBERED_SECONDS = 60


def master_key(settings: Settings) -> bytes:
    """Return the key that seals the signing keys; raises StartupError where it can be neither read nor made."""
    if settings.key_secret:
        return hashlib.scrypt(
            settings.key_secret.encode(), salt=b"fhir-server signing keys", n=2**14, r=8, p=1, dklen=32
        )
    path = settings.data_dir.expanduser().absolute() / _FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return _read(path) or _make(path)
    except OSError as error:
        raise StartupError(
            f"The file {path}, which protects the signing keys, cannot be read or made. "
            "Make its directory writable, or set FHIR_SERVER_KEY_SECRET."
        ) from error


def _read(path: Path) -> bytes | None:
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        return None
    return key if len(key) == _KEY_BYTES else None


def _make(path: Path) -> bytes:
    # Written aside and linked, so that of several workers that start at once all read the same whole file.
    temporary = path.with_name(f"{_FILE}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, os.urandom(_KEY_BYTES))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    with suppress(FileExistsError):
        os.link(temporary, path)
    temporary.unlink()
    return path.read_bytes()


class SigningKeyStore:
    """Gives the key that signs now, and all that are published."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._keys = database.collection(KEYS)
        self._settings = settings
        self._master: bytes | None = None
        self._cached: list[SigningKey] = []
        self._read = datetime.fromtimestamp(0, UTC)

    def refresh_key(self) -> bytes:
        """Return the key that the successors of refresh tokens follow from: every worker's is the same."""
        return self.derived_key("refresh tokens")

    def derived_key(self, purpose: str) -> bytes:
        """Return a key of 32 bytes for the purpose that follows from the master key: every worker's is the same."""
        return hmac.new(self._master_key(), purpose.encode(), hashlib.sha256).digest()

    async def current(self) -> SigningKey:
        """Return the key that signs: the latest, made now where there is none or the latest is old."""
        keys = await self._all()
        if not keys or keys[0].made < datetime.now(UTC) - ROTATION:
            return await self.rotate()
        return keys[0]

    async def published(self) -> list[dict[str, Any]]:
        """Return the public keys that a signature may be checked with."""
        return [key.public() for key in await self.verifying()]

    async def verifying(self) -> list[SigningKey]:
        """Return the keys whose signatures count: the one that signs, and those before it that are still published."""
        await self.current()
        return await self._all()

    async def rotate(self) -> SigningKey:
        """Make a new key, which signs from now on; the one before stays published while its tokens live."""
        made = make_key()
        document = {"_id": made.id, "sealed": seal_key(made, self._master_key()), "made": made.made}
        with translated:
            await self._keys.insert_one(document)
            # What signs no more is kept for as long as something it signed may be checked.
            await self._keys.update_many(
                {"_id": {"$ne": made.id}, "forget": None}, {"$set": {"forget": made.made + RETENTION}}
            )
        self._read = datetime.fromtimestamp(0, UTC)
        return (await self._all())[0]

    async def _all(self) -> list[SigningKey]:
        now = datetime.now(UTC)
        if self._cached and (now - self._read).total_seconds() < _REMEMBERED_SECONDS:
            return self._cached
        with translated:
            documents = await self._keys.find().sort("made", -1).to_list()
        keys = [unseal_key(key["_id"], key["sealed"], key["made"], self._master_key()) for key in documents]
        if None in keys:
            raise StartupError(
                "The signing keys were sealed under another key. Start the server with the FHIR_SERVER_KEY_SECRET, or "
                f"the file {_FILE} of the data directory, that they were made with."
            )
        self._cached, self._read = [key for key in keys if key is not None], now
        return self._cached

    def _master_key(self) -> bytes:
        if self._master is None:
            self._master = master_key(self._settings)
        return self._master
