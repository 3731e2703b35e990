"""The course of an export: every table from its resources, to CSV files or to PostgreSQL, and the report."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from fhir_server.engine.context import Services
from fhir_server.errors import FhirError, Unprocessable
from fhir_server.hospital.tables import postgres
from fhir_server.hospital.tables.cells import cell
from fhir_server.hospital.tables.companions import Reading, RowSource
from fhir_server.hospital.tables.csv_folder import CsvFolder
from fhir_server.hospital.tables.importing import Options, refusal
from fhir_server.hospital.tables.progress import Advance, bars
from fhir_server.hospital.tables.resources import from_resources
from fhir_server.hospital.tables.sign_in import password_hashes
from fhir_server.hospital.tables.sources import Destination, Writer
from fhir_server.hospital.tables.tables import TABLES, Table
from fhir_server.load.report import Summary, show, write_refusals
from fhir_server.services import services
from fhir_server.settings import Settings
from fhir_server.store.database.mongod import database_url
from fhir_server.store.resources.listing import count
from mappings.accounts.users import User
from mappings.shared.rows import Row


def export_tables(
    target: str,
    settings: Settings,
    options: Options | None = None,
    *,
    all_columns: bool = False,
    report: Path = Path("export-report.jsonl"),
    console: Console | None = None,
) -> Summary:
    """Write the tables to a folder of CSV files, or to the PostgreSQL database at a URL; returns what became of them.

    A table has the columns of the hospital's own schema, or with `all_columns` also those for what the server knows
    beyond it; one that PostgreSQL has already is given the columns it has. Rows that are there are replaced.
    """
    console, options = console or Console(), options or Options()
    with _opened(target) as tables, database_url(settings) as url:
        connected = settings.model_copy(update={"database_url": url})
        summary = asyncio.run(_exported(tables, connected, options, console, all_columns=all_columns))
    write_refusals(report, summary.refusals)
    show(console, summary, report, what="Table", noun="rows")
    return summary


@contextmanager
def _opened(target: str) -> Iterator[Destination]:
    if postgres.is_postgres(target):
        with postgres.connected(target) as tables:
            yield tables
        return
    yield CsvFolder(Path(target))


async def _exported(
    tables: Destination, settings: Settings, options: Options, console: Console, *, all_columns: bool
) -> Summary:
    started = time.monotonic()
    async with services(settings) as shared:
        course = _Course(shared, options)
        with bars(console) as progress:
            for table in TABLES:
                columns = table.every_column if all_columns else table.columns
                total = await count(shared.resources, table.type)
                if table.beyond and not total:
                    continue
                with progress.of(table.name, total) as advance, tables.table(table, columns) as writer:
                    await course.export(table, writer, advance)
    course.summary.seconds = time.monotonic() - started
    return course.summary


class _Course:
    """An export in progress."""

    def __init__(self, shared: Services, options: Options) -> None:
        self.summary = Summary()
        self._prefix = options.prefix
        self._users = shared.stores.users
        self._reading = Reading(shared, options.timezone)

    async def export(self, table: Table, writer: Writer, advance: Advance) -> None:
        """Write all rows of a table."""
        async for batch in self._reading.batches(table):
            rows = await self._with_passwords([row for whole in batch if (row := self._row(table, whole)) is not None])
            self._write(table, writer, rows)
            advance(len(batch))

    def _row(self, table: Table, whole: RowSource) -> Row | None:
        try:
            return from_resources(table, whole.resources, whole.around, created=whole.created, deleted=whole.deleted)
        except ValueError as error:
            text = "; ".join(each["msg"] for each in error.errors()) if hasattr(error, "errors") else str(error)
            self._refuse(table, whole.resources[0]["id"], Unprocessable(text, code="value"))
            return None

    async def _with_passwords(self, rows: list[Row]) -> list[Row]:
        if not any(isinstance(row, User) for row in rows):
            return rows
        hashes = await password_hashes(self._users, [row.id for row in rows])
        return [row.model_copy(update={"password_hash": hashes.get(row.id)}) for row in rows]

    def _write(self, table: Table, writer: Writer, rows: Sequence[Row]) -> None:
        cells = [[cell(row, column, self._prefix) for column in writer.columns] for row in rows]
        for row, error in zip(rows, writer.write(cells), strict=True):
            if error is None:
                self.summary.counts[table.name, "written"] += 1
            else:
                self._refuse(table, row.id, error)

    def _refuse(self, table: Table, row_id: str, error: FhirError) -> None:
        self.summary.refusals.append(refusal(table, f"id {row_id}", error))
