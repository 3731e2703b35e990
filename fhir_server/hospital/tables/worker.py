"""Importing in a process of its own, with its own connection: rows come as text, what became of them goes back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack

from fhir_server.hospital.tables.batch import import_rows
from fhir_server.hospital.tables.importing import Done, Importer, Options
from fhir_server.hospital.tables.sources import Line
from fhir_server.hospital.tables.tables import BY_NAME
from fhir_server.load import process
from fhir_server.services import services
from fhir_server.settings import Settings

_running: tuple[asyncio.Runner, AsyncExitStack, Importer] | None = None


def start(settings: Settings, options: Options) -> None:
    """Connect this process to the database."""
    global _running  # noqa: PLW0603 - a worker process has one connection, and the pool gives it no other place to live
    process.begin()
    runner, stack = asyncio.Runner(), AsyncExitStack()
    shared = runner.run(stack.enter_async_context(services(settings)))
    _running = runner, stack, Importer(shared, options)
    process.freeze()


def import_lines(table: str, lines: Sequence[Line]) -> Done:
    """Import rows of a table."""
    assert _running is not None, "start runs first in each worker process"
    runner, _, importer = _running
    with process.busy:
        return runner.run(import_rows(importer, BY_NAME[table], lines))


def delete_rows(table: str) -> Done:
    """Delete what the table's deleted rows have become."""
    assert _running is not None, "start runs first in each worker process"
    runner, _, importer = _running
    with process.busy:
        return runner.run(importer.deletions(BY_NAME[table]))
