"""The course of an import: tables in the order of their references, rows to worker processes, deletions, the report."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

from rich.console import Console

from fhir_server.engine.loading.loading import Refusal
from fhir_server.hospital.tables import postgres
from fhir_server.hospital.tables.checks.order import IN_A_ROW, Ordered
from fhir_server.hospital.tables.folder import TableFolder
from fhir_server.hospital.tables.ids import from_logical
from fhir_server.hospital.tables.importing import Done, Options
from fhir_server.hospital.tables.progress import Advance, Bars, bars
from fhir_server.hospital.tables.sources import Line, Source, Unreadable
from fhir_server.hospital.tables.tables import BY_NAME, TABLES, Table
from fhir_server.hospital.tables.worker import delete_rows, import_lines, start
from fhir_server.load.report import Summary, show, write_refusals
from fhir_server.services import authorization_store, services
from fhir_server.settings import Settings
from fhir_server.store.database.data_directory import StartupError
from fhir_server.store.database.mongod import database_url
from mappings.shared import clinic_clock

_PREFIX = re.compile(r"[A-Za-z0-9\-]{0,20}")
_NO_ZONE = (
    "No --timezone was given: appointments at clinics that name no zone are on the clock of {}, the server's default."
)
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
    """Import the tables in a folder of files, or in the PostgreSQL database at a URL; returns what became of them.

    Every row that was refused, or taken with a reservation, is in the report with its reasons. To import again changes
    nothing but what was changed at the source. Raises StartupError where there is nothing to import.
    """
    console, options = console or Console(), options or Options()
    _require_valid(options)
    with opened(source, options) as tables, database_url(settings) as url:
        connected = settings.model_copy(update={"database_url": url})
        asyncio.run(_prepare(connected))
        course = _Course(tables, connected, options, workers or os.cpu_count() or 1, console)
        summary = course.run()
        notes = [*course.notes, *asyncio.run(_vanished(connected, options, course.rows))]
    write_refusals(report, summary.refusals + notes)
    show(console, summary, report, what="Table", noun="rows")
    _tell(console, course, len(notes) - len(course.notes), report)
    return summary


def _tell(console: Console, course: _Course, vanished: int, report: Path) -> None:
    if course.is_without_zone:
        console.print(_NO_ZONE.format(course.default_zone), style="yellow", markup=False, highlight=False)
    if course.notes:
        console.print(f"{len(course.notes):,} rows or tables were taken with a reservation; those are in {report} too.")
    if vanished:
        console.print(
            f"{vanished:,} rows or tables that were imported before are no longer in the source. What they were "
            f"imported as stays; they are in {report} too."
        )


def _require_valid(options: Options) -> None:
    if not _PREFIX.fullmatch(options.prefix):
        raise StartupError("A prefix has letters, digits and '-', at most 20.")
    try:
        clinic_clock.zone(options.timezone or "UTC")
    except ValueError as error:
        raise StartupError(str(error)) from error
    if options.files is not None and not options.files.is_dir():
        raise StartupError(f"{options.files} is not a folder.")
    try:
        "".encode(options.encoding or "utf-8")
    except (LookupError, ValueError) as error:
        raise StartupError(f"{options.encoding} is not an encoding of text.") from error


@contextmanager
def opened(source: str, options: Options) -> Iterator[Source]:
    """Give the tables that the text names; raises StartupError."""
    if postgres.is_postgres(source):
        if options.encoding or options.nulls:
            raise StartupError("--encoding and --null are about files; a database says both itself.")
        with postgres.connected(source) as tables:
            yield tables
        return
    folder = Path(source)
    if not folder.is_dir():
        raise StartupError(f"{source} is neither a folder nor a PostgreSQL URL.")
    yield TableFolder(folder, options.encoding, options.nulls)


async def _prepare(settings: Settings) -> None:
    """Make the collections that transactions will write."""
    async with services(settings) as shared:
        await authorization_store(shared)
        await shared.stores.login_names.prepare()
        await shared.stores.imports.prepare()


async def _vanished(settings: Settings, options: Options, rows: Mapping[str, Ordered | None]) -> list[Refusal]:
    """Return what the report says of rows that were imported before, and are not among these of the source."""
    refusals: list[Refusal] = []
    async with services(settings) as shared:
        record = shared.stores.imports
        for table in TABLES:
            of_source, count = rows.get(table.name), 0
            async for logical_id in record.ids(table.type, options.prefix):
                row_id = from_logical(logical_id, options.prefix)
                count += 1
                if of_source is not None and not of_source.has(row_id):
                    text = "is no longer in the source; what it was imported as stays as it is"
                    refusals.append(_about(table, text, "warning", "not-found", f"id {row_id}"))
            if table.name not in rows and count:
                text = f"the source has no such table any more; {count} rows of it were imported before, and stay"
                refusals.append(_about(table, text, "warning", "not-found"))
    return refusals


class _Course:
    """An import in progress."""

    def __init__(self, source: Source, settings: Settings, options: Options, workers: int, console: Console) -> None:
        self.summary = Summary()
        self.notes: list[Refusal] = []
        self.rows: dict[str, Ordered | None] = {}
        """What rows each table of the source has; of one that could not be read, none."""
        self.is_without_zone = False
        self.default_zone = settings.default_timezone
        self._source = source
        self._settings = settings
        self._options = options
        self._workers = workers
        self._console = console

    def run(self) -> Summary:
        """Import every table that the source has."""
        started = time.monotonic()
        tables = [table for table in TABLES if self._has(table)]
        if not tables and not self.summary.refusals:
            raise StartupError("There is none of the hospital's tables.")
        pool = ProcessPoolExecutor(
            self._workers, get_context("spawn"), initializer=start, initargs=(self._settings, self._options)
        )
        with pool, bars(self._console) as progress:
            try:
                self._run(pool, tables, progress)
            except BrokenProcessPool as error:
                raise StartupError(
                    "A process that was importing has ended. Run the command again: it goes on."
                ) from error
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        self.summary.seconds = time.monotonic() - started
        return self.summary

    def _run(self, pool: ProcessPoolExecutor, tables: Sequence[Table], progress: Bars) -> None:
        self._look_for_zones(tables)
        for table in tables:
            with progress.of(table.name, self._source.count(table)) as advance:
                self._import(pool, table, advance)
        # What others refer to goes last: a clinic is not deleted while an appointment names it.
        for table in reversed(tables):
            self._collect(pool.submit(delete_rows, table.name).result())

    def _look_for_zones(self, tables: Sequence[Table]) -> None:
        """Note where times are read on a clock that nobody has named."""
        clinics = BY_NAME["clinics"]
        if self._options.timezone is not None or not {"clinics", "appointments"} & {table.name for table in tables}:
            return
        zones = [line.cells.get("timezone") for line in self._source.lines(clinics)] if clinics in tables else [None]
        self.is_without_zone = not all(zone and zone.strip() for zone in zones)
        if self.is_without_zone:
            self._note(clinics, _NO_ZONE.format(self.default_zone))

    def _has(self, table: Table) -> bool:
        try:
            columns = self._source.columns(table)
        except Unreadable as error:
            self._refuse(table, str(error))
            self.rows[table.name] = None
            return False
        if columns is None:
            return False
        unknown = [name for name in columns if name not in table.every_column]
        if unknown:
            self._note(table, f"The columns {', '.join(unknown)} are none that the server knows; they are left out.")
        if "id" not in columns or len(set(columns)) < len(columns):
            self._refuse(table, "The table needs a column id, and each column once.")
            self.rows[table.name] = None
            return False
        return True

    def _import(self, pool: ProcessPoolExecutor, table: Table, advance: Advance) -> None:
        ordered = self.rows[table.name] = Ordered(table, self._source.lines(table))
        self._send(pool, table, ordered.free(), ordered, advance)
        for level in ordered.levels():
            self._send(pool, table, iter(level), ordered, advance)

    def _send(
        self, pool: ProcessPoolExecutor, table: Table, lines: Iterator[Line], ordered: Ordered, advance: Advance
    ) -> None:
        """Have rows imported, in any order, until all are."""
        running: dict[Future[Done], int] = {}
        for batch in _batches(lines):
            if len(running) >= self._workers * _AHEAD:
                self._gather(running, ordered, advance)
            running[pool.submit(import_lines, table.name, batch)] = len(batch)
        while running:
            self._gather(running, ordered, advance)

    def _gather(self, running: dict[Future[Done], int], ordered: Ordered, advance: Advance) -> None:
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            count = running.pop(future)
            self._collect(future.result())
            ordered.refused |= future.result().refused
            advance(count)

    def _collect(self, done: Done) -> None:
        self.summary.counts += done.counts
        self.summary.refusals += done.refusals
        self.notes += done.notes

    def _note(self, table: Table, text: str) -> None:
        self.notes.append(_about(table, text, "information", "informational"))

    def _refuse(self, table: Table, text: str) -> None:
        self.summary.refusals.append(_about(table, text, "error", "structure"))


def _about(table: Table, text: str, severity: str, code: str, place: str = "") -> Refusal:
    status = 422 if severity == "error" else 200
    return Refusal(
        table.name, place, (table.name,), status, [{"severity": severity, "code": code, "diagnostics": text}]
    )


def _batches(lines: Iterator[Line]) -> Iterator[list[Line]]:
    while batch := list(islice(lines, IN_A_ROW)):
        yield batch
