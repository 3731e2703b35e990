"""The command `encryption`: the key, turning encryption on and off, and changing keys."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from pathlib import Path
from typing import Any

from fhir_server.cli.operator_audit import audited
from fhir_server.engine.context import Services
from fhir_server.errors import Unavailable
from fhir_server.jobs import key_rotation
from fhir_server.jobs.runner import Job, hold
from fhir_server.services import base_url, services
from fhir_server.settings import Settings
from fhir_server.store.database.data_directory import StartupError
from fhir_server.store.database.mongo import Database
from fhir_server.store.database.mongod import database_url
from fhir_server.store.encryption.conversion import convert
from fhir_server.store.encryption.key_services import KeyService, key_service
from fhir_server.store.encryption.stored_keys import (
    change,
    fresh,
    insert,
    opened,
    remove,
    stored,
    wrapped_anew,
)
from fhir_server.store.resources.resources import ResourceStore
from fhir_server.store.search.parameters import SearchParameterStore
from fhir_server.store.work.jobs import Lease

_STATES = {True: "encrypting", False: "decrypting"}


def make_key(path: Path) -> None:
    """Write a new key into a file that only its owner can read; raises StartupError where there is a file."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise StartupError(f"{path} cannot be made: {error.strerror}.") from error
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{secrets.token_hex(32)}\n")


def turn(settings: Settings, *, on: bool) -> int:
    """Encrypt a plain database, or decrypt an encrypted one, that no server uses; return how many documents changed.

    Raises StartupError.
    """
    with database_url(settings) as url:
        return asyncio.run(_turn(settings.model_copy(update={"database_url": url}), on=on))


async def _turn(settings: Settings, *, on: bool) -> int:
    assert settings.database_url is not None
    plain = await Database.connect(settings.database_url, settings.database_name)
    encrypted = await Database.connect(settings.database_url, settings.database_name)
    try:
        service = key_service(settings, plain.client)
        if service is None:
            raise StartupError("Set ENCRYPTION_KEY_FILE, ENCRYPTION_KEY or ENCRYPTION_KEY_SERVICE.")
        await _require_unused(plain)
        document = await _begun(plain, service, on=on)
        encrypted.encrypt(await opened(document, service))
        converted = await convert(plain, encrypted, _show_progress, encrypting=on)
        if on:
            await change(plain, document, state="on")
        else:
            await remove(plain)
    finally:
        await plain.close()
        await encrypted.close()
    return converted


async def _begun(plain: Database, service: KeyService, *, on: bool) -> dict[str, Any]:
    """Return the stored keys, which say that the conversion is under way."""
    document = await stored(plain)
    if document is None:
        if not on:
            raise StartupError("The database is not encrypted.")
        return await insert(plain, await fresh(service, _STATES[on]))
    await opened(document, service)
    if document["state"] == _STATES[on]:
        return document
    if on or document["state"] != "on" or len(document["data"]) > 1:
        raise StartupError(
            "The database is encrypted already."
            if document["state"] == "on" and on
            else "The keys are being rotated, or another conversion was broken off; bring that to its end first."
        )
    return await change(plain, document, state=_STATES[on])


async def _require_unused(database: Database) -> None:
    if await SearchParameterStore(database, ResourceStore(database)).living():
        raise StartupError("A server or command uses the database. Stop all of them, wait 15 seconds, and try again.")


def _show_progress(done: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"{done} documents\r")


def status(settings: Settings) -> dict[str, Any]:
    """Return how the database is encrypted, without its keys."""

    async def read(url: str) -> dict[str, Any]:
        database = await Database.connect(url, settings.database_name)
        try:
            document = await stored(database)
        finally:
            await database.close()
        if document is None:
            return {"encrypted": False}
        service = document["index"]
        named = {"key": service["name"]} if "name" in service else {}
        numbers = [each["number"] for each in document["data"]]
        return {
            "encrypted": document["state"] == "on",
            "state": document["state"],
            "service": service["service"],
            **named,
            "data_key": document["current"],
            "rotating": len(numbers) > 1,
        }

    with database_url(settings) as url:
        return asyncio.run(read(url))


def rotate(settings: Settings) -> int:
    """Rotate the data key, beside a running server too; return how many documents were sealed anew."""
    with database_url(settings) as url:
        return asyncio.run(_rotate(settings.model_copy(update={"database_url": url})))


async def _rotate(settings: Settings) -> int:
    async with services(settings) as shared:
        keys = _keys(shared)
        resealed: list[int] = []

        async def work() -> None:
            async def run(_: Lease) -> None:
                resealed.append(await key_rotation.go_on(shared, keys, _show_progress))

            lease = await shared.stores.jobs.acquire(key_rotation.NAME, shared.following.worker, early=True)
            if lease is None:
                raise StartupError("Another process rotates the key. Wait for it.")
            await key_rotation.begin(keys)
            await hold(Job(key_rotation.NAME, run, key_rotation.EVERY_SECONDS), lease)

        await audited(shared, base_url(settings), "encryption-key-rotated", work)
    return sum(resealed)


def rewrap(settings: Settings, new: Settings) -> None:
    """Wrap the keys of the database by the key, or key service, of other settings, in place of the present one."""

    async def work(url: str) -> None:
        async with services(settings.model_copy(update={"database_url": url})) as shared:
            keys = _keys(shared)
            service = key_service(new, keys.database.client)
            if service is None:
                raise StartupError("Name the new key or key service.")

            async def wrapping() -> None:
                document = await stored(keys.database)
                if document is None:
                    raise Unavailable("The keys are gone.")
                await change(keys.database, document, **await wrapped_anew(document, keys.service, service))

            await audited(shared, base_url(settings), "encryption-key-rewrapped", wrapping)

    with database_url(settings) as url:
        asyncio.run(work(url))


def _keys(shared: Services) -> Any:
    if shared.keys is None:
        raise StartupError("The database is not encrypted.")
    return shared.keys
