"""The `backup` and `restore` commands: one moment of a server into a folder, beside its running, and back."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fhir_server.audit.records import encode_record
from fhir_server.cli.operator_audit import audited, record
from fhir_server.services import base_url, services
from fhir_server.settings import Settings
from fhir_server.store.backup import archive, copying, restoring, side_files
from fhir_server.store.backup.archive import Manifest
from fhir_server.store.database.data_directory import StartupError
from fhir_server.store.database.mongo import Database
from fhir_server.store.database.mongod import EmbeddedMongod, database_url

_PROGRESS_SECONDS = 2.0
_GENTLY = 10


def back_up(settings: Settings, target: Path) -> Path:
    """Return the folder of a new backup below the target; the audit trail tells of it."""
    _refuse_url(target)
    with suppress(OSError):
        os.nice(_GENTLY)  # who is being served comes first
    with database_url(settings) as url:
        return asyncio.run(_backed_up(settings.model_copy(update={"database_url": url}), target))


async def _backed_up(settings: Settings, target: Path) -> Path:
    async with services(settings) as shared:

        async def work() -> Path:
            await restoring.require_whole(shared.database)
            return await copying.back_up(shared.database, settings.data_dir, target, _Progress("copied"))

        return await audited(shared, base_url(settings), "backup", work, target=str(target))


def verify(source: Path) -> Manifest:
    """Return what a backup holds, having read all of it; raises StartupError where it is not whole."""
    _refuse_url(source)
    return archive.verify(source)


def restore(settings: Settings, source: Path) -> Manifest:
    """Put a backup into an empty data directory or database, having verified it."""
    _refuse_url(source)
    if settings.database_url is None:
        _require_empty(settings.data_dir)
    manifest = archive.verify(source)
    with _empty_database(settings) as url:
        asyncio.run(_restored(settings, url, source, manifest))
    return manifest


@contextmanager
def _empty_database(settings: Settings) -> Iterator[str]:
    if settings.database_url is not None:
        yield settings.database_url
        return
    with EmbeddedMongod.of(settings) as mongod:
        yield mongod.url


async def _restored(settings: Settings, url: str, source: Path, manifest: Manifest) -> None:
    database = await Database.connect(url, settings.database_name)
    try:
        await restoring.restore(database, source, manifest, _Progress("restored"))
    finally:
        await database.close()
    # The next server tells the trail: until then the database is that of the moment, and nothing else.
    event = encode_record(record("restored", 200, "", {"source": str(source), "moment": manifest.moment})) + b"\n"
    side_files.put_back(settings.data_dir.expanduser().absolute(), restoring.contents(source, manifest), event)


def _require_empty(directory: Path) -> None:
    directory = directory.expanduser().absolute()
    if directory.exists() and any(directory.iterdir()):
        raise StartupError(f"The data directory {directory} is not empty. Restore into another one with --data-dir.")


def _refuse_url(path: Path) -> None:
    if ":/" in str(path):
        raise StartupError(f"{path} is not a folder; a backup is made into a folder of this machine.")


class _Progress:
    """Tells on standard error how far it has come, every few seconds: on a terminal in one line."""

    def __init__(self, done: str) -> None:
        self._done = done
        self._shown_at = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._shown_at < _PROGRESS_SECONDS:
            return
        self._shown_at = now
        share = min(99, 100 * done // max(total, 1))
        end = "\r" if sys.stderr.isatty() else "\n"
        sys.stderr.write(f"{share:3} %: {done} of about {total} documents {self._done}{end}"[: _columns()])
        sys.stderr.flush()


def _columns() -> int:
    return max(40, shutil.get_terminal_size().columns)
