"""The `status` command: how the background jobs and the added search parameters of a database stand."""

from __future__ import annotations

import asyncio
from datetime import datetime

from rich.console import Console
from rich.table import Table

from fhir_server.search.lifecycle import State
from fhir_server.services import services
from fhir_server.settings import Settings
from fhir_server.store.database.mongod import database_url
from fhir_server.store.database.mongod_lines import past_its_end
from fhir_server.store.work.jobs import JobStore, Progress


def show(settings: Settings, console: Console | None = None) -> None:
    """Print what the database says of them."""
    with database_url(settings) as url:
        jobs, state, version = asyncio.run(_read(settings.model_copy(update={"database_url": url})))
    console = console or Console()
    console.print(past_its_end(version) or f"MongoDB {version}.")
    console.print(_jobs(jobs))
    console.print(_parameters(state))
    if state.running is not None:
        run = state.running
        console.print(f"Indexing {', '.join(run.types)}: {run.done} of {run.total} resources, {run.failed} failed.")
    if state.failure:
        console.print(state.failure)


async def _read(settings: Settings) -> tuple[list[Progress], State, str]:
    async with services(settings) as shared:
        progress, state = await JobStore(shared.database).progress(), await shared.following.store.state()
        return progress, state, await shared.database.version()


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
