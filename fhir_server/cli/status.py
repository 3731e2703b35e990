"""The `status` command: how the background jobs, the added search parameters and the hospital's rows stand."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime

from rich.console import Console
from rich.table import Table

from fhir_server.engine.context import Context
from fhir_server.hospital.odd_rows import CATALOGUE, READERS, OddRow, odd_rows
from fhir_server.search.lifecycle import State
from fhir_server.services import services
from fhir_server.settings import Settings
from fhir_server.store.database.mongod import database_url
from fhir_server.store.database.mongod_lines import past_its_end
from fhir_server.store.work.jobs import JobStore, Progress

_MOST_ROWS = 100


def show(settings: Settings, console: Console | None = None, *, every_row: bool = False) -> None:
    """Print what the database says of them; `every_row` looks through all tables and not only the catalogue."""
    types = READERS if every_row else CATALOGUE
    with database_url(settings) as url:
        jobs, state, version, rows = asyncio.run(_read(settings.model_copy(update={"database_url": url}), types))
    console = console or Console()
    console.print(past_its_end(version) or f"MongoDB {version}.")
    console.print(_jobs(jobs))
    console.print(_parameters(state))
    console.print(_rows(rows))
    if state.running is not None:
        run = state.running
        console.print(f"Indexing {', '.join(run.types)}: {run.done} of {run.total} resources, {run.failed} failed.")
    if state.failure:
        console.print(state.failure)


async def _read(settings: Settings, types: Iterable[str]) -> tuple[list[Progress], State, str, list[OddRow]]:
    async with services(settings) as shared:
        progress, state = await JobStore(shared.database).progress(), await shared.following.store.state()
        found: list[OddRow] = []
        async for row in odd_rows(Context(shared, settings.base_url or ""), types):
            found.append(row)
            if len(found) > _MOST_ROWS:
                break
        return progress, state, await shared.database.version(), found


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
