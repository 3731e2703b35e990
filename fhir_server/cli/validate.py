"""The `validate` command: checks what is stored by R4 and its profiles, beside a running server or without one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from fhir_server.cli.operator_audit import audited
from fhir_server.engine.context import Services
from fhir_server.jobs.runner import hold
from fhir_server.jobs.validation import NAME, Progress, validate_stored
from fhir_server.r4 import values
from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.services import base_url, services
from fhir_server.settings import Settings
from fhir_server.store.database.data_directory import StartupError
from fhir_server.store.database.mongod import database_url
from fhir_server.store.resources.collections import type_of
from fhir_server.store.resources.reindexing import stored_types


def run(
    settings: Settings,
    types: Sequence[str],
    report: Path,
    *,
    warnings: bool = False,
    restart: bool = False,
    console: Console | None = None,
) -> Progress:
    """Validate all resources of the types, or of all types, and write what is wrong to `report` as JSON lines.

    Raises StartupError for a name that is no type, and while another process does the same.
    """
    unknown = sorted(set(types) - RESOURCE_TYPES)
    if unknown:
        raise StartupError(f"{', '.join(unknown)}: not a resource type of FHIR R4.")
    with database_url(settings) as url:
        connected = settings.model_copy(update={"database_url": url})
        work = _run(connected, types, report, console or Console(), warnings=warnings, restart=restart)
        return asyncio.run(work)


async def _run(
    settings: Settings, types: Sequence[str], report: Path, console: Console, *, warnings: bool, restart: bool
) -> Progress:
    async with services(settings) as shared:
        stored = [each for each in await stored_types(shared.database) if each in RESOURCE_TYPES]
        chosen = [each for each in stored if not types or type_of(each) in types]

        async def work() -> Progress:
            return await _validated(shared, chosen, report, console, warnings=warnings, restart=restart)

        return await audited(shared, base_url(settings), "validated", work, types=",".join(types) or "all")


async def _validated(
    shared: Services, types: Sequence[str], report: Path, console: Console, *, warnings: bool, restart: bool
) -> Progress:
    steps = [Progress(())]
    lease = await shared.stores.jobs.acquire(NAME, shared.following.worker, early=True)
    if lease is None:
        raise StartupError("Another process validates what is stored. Wait for it, or stop it.")
    # What is written there is of patients: nobody else is to read it.
    opened = os.open(report, os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if restart else os.O_APPEND), 0o600)
    with os.fdopen(opened, "wb") as file, _bar(console) as bar:
        task = bar.add_task("Validating", total=None)

        def note(lines: Iterable[dict[str, Any]]) -> None:
            file.writelines(values.encode(each) + b"\n" for each in lines)
            file.flush()

        def tell(state: Progress) -> None:
            steps.append(state)
            name = state.types[0] if state.types else "done"
            bar.update(task, completed=state.done, total=state.total, description=name)

        job = validate_stored(shared, base_url(shared.settings), types, note, tell, warnings=warnings, restart=restart)
        await hold(job, lease)
    return steps[-1]


def _bar(console: Console) -> Bar:
    return Bar(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console
    )
