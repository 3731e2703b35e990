"""The course of an import: tables in the order of their references, rows to worker processes, deletions, the report."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

from rich.console import Console

from fhir_server.hospital.tables import postgres
from fhir_server.hospital.tables.csv_folder import CsvFolder
from fhir_server.hospital.tables.importing import Done, Options
from fhir_server.hospital.tables.progress import Advance, Bars, bars
from fhir_server.hospital.tables.sources import Line, Source
from fhir_server.hospital.tables.tables import TABLES, Table
from fhir_server.hospital.tables.worker import delete_rows, import_lines, start
from fhir_server.load.report import Summary, show, write_refusals
from fhir_server.load.worker import Refusal
from fhir_server.services import authorization_store, services
from fhir_server.settings import Settings
from fhir_server.store.accounts.login_names import LoginNames
from fhir_server.store.database.data_directory import StartupError
from fhir_server.store.database.mongod import database_url
from fhir_server.store.work.imports import ImportStore
from mappings.shared import clinic_clock

_ROWS_AT_ONCE = 300
_PREFIX = re.compile(r"[A-Za-z0-9\-]{0,20}")
_AHEAD = 2
"""Batches for each worker that are read before they are needed."""


def import_tables(
    source: str,
    settings: Settings,
    options: Options | None = None,
    *,
    workers: int | None = None,
    report: Path = Path("import-report.jsonl"),
    console: Console | None = None,
) -> Summary:
    """Import the tables in a folder of CSV files, or in the PostgreSQL database at a URL; returns what became of them.

    Every row that was refused, or taken with a reservation, is in the report with its reasons. To import again changes
    nothing but what was changed at the source. Raises StartupError where there is nothing to import.
    """
    console, options = console or Console(), options or Options()
    _require_valid(options)
    with opened(source) as tables, database_url(settings) as url:
        connected = settings.model_copy(update={"database_url": url})
        asyncio.run(_prepare(connected))
        course = _Course(tables, connected, options, workers or os.cpu_count() or 1, console)
        summary = course.run()
    write_refusals(report, summary.refusals + course.notes)
    show(console, summary, report, what="Table", noun="rows")
    if course.notes:
        console.print(f"{len(course.notes):,} rows or tables were taken with a reservation; those are in {report} too.")
    return summary


def _require_valid(options: Options) -> None:
    if not _PREFIX.fullmatch(options.prefix):
        raise StartupError("A prefix has letters, digits and '-', at most 20.")
    try:
        clinic_clock.zone(options.timezone or "UTC")
    except ValueError as error:
        raise StartupError(str(error)) from error


@contextmanager
def opened(source: str) -> Iterator[Source]:
    """Give the tables that the text names; raises StartupError."""
    if postgres.is_postgres(source):
        with postgres.connected(source) as tables:
            yield tables
        return
    folder = Path(source)
    if not folder.is_dir():
        raise StartupError(f"{source} is no folder, and no PostgreSQL URL.")
    yield CsvFolder(folder)


async def _prepare(settings: Settings) -> None:
    """Make the collections that transactions will write."""
    async with services(settings) as shared:
        await authorization_store(shared)
        await LoginNames(shared.database).prepare()
        await ImportStore(shared.database).prepare()


class _Course:
    """An import in progress."""

    def __init__(self, source: Source, settings: Settings, options: Options, workers: int, console: Console) -> None:
        self.summary = Summary()
        self.notes: list[Refusal] = []
        self._source = source
        self._settings = settings
        self._options = options
        self._workers = workers
        self._console = console

    def run(self) -> Summary:
        """Import every table that the source has."""
        started = time.monotonic()
        found = [table for table in TABLES if self._has(table)]
        if not found:
            raise StartupError("There is none of the hospital's tables.")
        pool = ProcessPoolExecutor(
            self._workers, get_context("spawn"), initializer=start, initargs=(self._settings, self._options)
        )
        with pool, bars(self._console) as progress:
            try:
                self._run(pool, found, progress)
            except BrokenProcessPool as error:
                raise StartupError(
                    "A process that was importing has ended. Run the command again: it goes on."
                ) from error
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        self.summary.seconds = time.monotonic() - started
        return self.summary

    def _run(self, pool: ProcessPoolExecutor, found: Sequence[Table], progress: Bars) -> None:
        for table in found:
            with progress.of(table.name, self._source.count(table)) as advance:
                self._import(pool, table, advance)
        # What others refer to goes last: a clinic is not deleted while an appointment names it.
        for table in reversed(found):
            self._collect(pool.submit(delete_rows, table.name).result())

    def _has(self, table: Table) -> bool:
        columns = self._source.columns(table)
        if columns is None:
            return False
        unknown = [name for name in columns if name not in table.every_column]
        if unknown:
            self._note(table, f"The columns {', '.join(unknown)} are none that the server knows; they are left out.")
        if "id" not in columns or len(set(columns)) < len(columns):
            self._refuse(table, "The table needs a column id, and each column once.")
            return False
        return True

    def _import(self, pool: ProcessPoolExecutor, table: Table, advance: Advance) -> None:
        running: dict[Future[Done], int] = {}
        for lines in _batches(self._distinct(table)):
            if len(running) >= self._workers * _AHEAD:
                self._gather(running, advance)
            running[pool.submit(import_lines, table.name, lines)] = len(lines)
        while running:
            self._gather(running, advance)

    def _gather(self, running: dict[Future[Done], int], advance: Advance) -> None:
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            count = running.pop(future)
            self._collect(future.result())
            advance(count)

    def _distinct(self, table: Table) -> Iterator[Line]:
        """Yield the rows; a second one of an id is faulty, wherever it stands."""
        seen: set[int] = set()
        for line in self._source.lines(table):
            # Hashes instead of texts: there may be millions.
            row_id = line.cells.get("id")
            found = hash(row_id)
            if row_id is not None and found in seen and line.fault is None:
                yield Line(line.place, line.cells, "its id stands twice")
            else:
                seen.add(found)
                yield line

    def _collect(self, done: Done) -> None:
        self.summary.counts += done.counts
        self.summary.refusals += done.refusals
        self.notes += done.notes

    def _note(self, table: Table, text: str) -> None:
        self.notes.append(_about(table, text, "information", "informational"))

    def _refuse(self, table: Table, text: str) -> None:
        self.summary.refusals.append(_about(table, text, "error", "structure"))


def _about(table: Table, text: str, severity: str, code: str) -> Refusal:
    return Refusal(table.name, "", (table.name,), 422, [{"severity": severity, "code": code, "diagnostics": text}])


def _batches(lines: Iterator[Line]) -> Iterator[list[Line]]:
    while batch := list(islice(lines, _ROWS_AT_ONCE)):
        yield batch
