"""The `status` command: a picture of health; the background jobs, added search parameters and the hospital's rows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

from fhir_server.engine.context import Context
from fhir_server.hospital.odd_rows import CATALOGUE, READERS, OddRow, odd_rows
from fhir_server.search.lifecycle import State
from fhir_server.services import services
from fhir_server.settings import Settings
from fhir_server.store.backup.archive import backups_of
from fhir_server.store.database import disk
from fhir_server.store.database.mongod import database_url
from fhir_server.store.database.mongod_lines import past_its_end
from fhir_server.store.resources.index_versions import count_older, outdated
from fhir_server.store.work.audit_journal import backlog_bytes
from fhir_server.store.work.jobs import Progress
from fhir_server.store.work.queues import Queue, queues

_MOST_ROWS = 100
_MEGABYTE = 1024 * 1024
_LEAST_FREE = 5_000 * _MEGABYTE
_MOST_BACKLOG = 50 * _MEGABYTE
_LATE_SECONDS = 3600.0


def show(settings: Settings, console: Console | None = None, *, every_row: bool = False) -> None:
    """Print what the database says of them; `every_row` looks through all tables and not only the catalogue."""
    types = READERS if every_row else CATALOGUE
    with database_url(settings) as url:
        status = asyncio.run(_read(settings.model_copy(update={"database_url": url}), types))
    jobs, state, rows = status.jobs, status.parameters, status.rows
    console = console or Console()
    console.print(past_its_end(status.version) or f"MongoDB {status.version}.")
    console.print(_health(settings, status))
    console.print(_jobs(jobs))
    console.print(_parameters(state))
    console.print(_rows(rows))
    if state.running is not None:
        run = state.running
        console.print(f"Indexing {', '.join(run.types)}: {run.done} of {run.total} resources, {run.failed} failed.")
    if state.failure:
        console.print(state.failure)


@dataclass(frozen=True, slots=True)
class _Status:
    """What the database says."""

    jobs: list[Progress]
    parameters: State
    version: str
    rows: list[OddRow]
    queues: list[Queue]
    size: int
    """Bytes that it takes on the disk."""
    older: int
    """Resources with an index of an earlier release."""


async def _read(settings: Settings, types: Iterable[str]) -> _Status:
    async with services(settings) as shared:
        rows: list[OddRow] = []
        async for row in odd_rows(Context(shared, settings.base_url or ""), types):
            rows.append(row)
            if len(rows) > _MOST_ROWS:
                break
        return _Status(
            jobs=await shared.stores.jobs.progress(),
            parameters=await shared.following.store.state(),
            version=await shared.database.version(),
            rows=rows,
            queues=await queues(shared.database),
            size=await shared.database.size(),
            older=await count_older(shared.database, await outdated(shared.database)),
        )


def _health(settings: Settings, status: _Status) -> Table:
    """Return each thing to look at, how it stands, and whether that is well."""
    backlog, free = backlog_bytes(settings.data_dir / "audit"), disk.free(settings.data_dir)
    late = [job.name for job in status.jobs if job.overdue > _LATE_SECONDS]
    failed = [job.name for job in status.jobs if job.failure]
    rows = [
        ("Database", f"{status.size / _MEGABYTE:.0f} MB", True),
        ("Disk", f"{free / _MEGABYTE:.0f} MB free", free > _LEAST_FREE),
        ("Audit journal", f"{backlog / _MEGABYTE:.1f} MB not in the database yet", backlog < _MOST_BACKLOG),
        ("Jobs", ", ".join([f"{name} failed" for name in failed] + [f"{name} waits" for name in late]), not failed),
        ("Search index", _index(status.older), not status.older),
        ("Backup", *_backup(settings)),
    ]
    rows += [
        (f"Queue {queue.name}", f"{queue.waiting} waiting, for {queue.oldest:.0f} s", queue.oldest < _LATE_SECONDS)
        for queue in status.queues
    ]
    table = Table("What", "State", "", title="Health")
    for what, state, is_well in rows:
        table.add_row(what, state, "well" if is_well else "look", style=None if is_well else "bold red")
    return table


def _index(older: int) -> str:
    if not older:
        return "all of this release"
    return f"{older} resources are indexed as by an earlier release; a serving server indexes them anew by itself"


def _backup(settings: Settings) -> tuple[str, bool]:
    if settings.backup_dir is None:
        return "none by itself (BACKUP_DIR)", True
    moments = list(backups_of(settings.backup_dir))
    if not moments:
        return "none yet", False
    hours = (datetime.now(UTC) - moments[-1]).total_seconds() / 3600
    return f"the newest of {len(moments)} is {hours:.0f} h old", hours < settings.backup_hours * 1.25


def _rows(rows: list[OddRow]) -> Table | str:
    if not rows:
        return "No row holds what its table cannot say."
    title = "Rows with values that are shown as null" + (f" (the first {_MOST_ROWS})" if len(rows) > _MOST_ROWS else "")
    table = Table("Resource", "Columns and extensions", title=title)
    for row in rows[:_MOST_ROWS]:
        table.add_row(row.reference, ", ".join(row.odd))
    return table


def _jobs(jobs: list[Progress]) -> Table:
    table = Table("Job", "Worker", "Started", "Finished", "Failure", title="Jobs")
    for job in jobs:
        table.add_row(job.name, job.owner or "", _time(job.started), _time(job.finished), job.failure)
    return table


def _parameters(state: State) -> Table:
    table = Table("Code", "Types", "Phase", "URL", title="Added search parameters")
    for entry in state.entries:
        definition = entry.wish.definition
        table.add_row(definition.code, ", ".join(definition.base), entry.phase, definition.url)
    return table


def _time(value: datetime | None) -> str:
    return "" if value is None else f"{value:%Y-%m-%d %H:%M:%S}"
