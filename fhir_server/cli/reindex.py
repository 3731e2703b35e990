"""The `reindex` command: makes the search index of what is stored anew, beside a running server or without one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fhir_server.engine.context import Services
from fhir_server.jobs.reindex import NAME, reindex
from fhir_server.jobs.runner import hold
from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.search.lifecycle import Pass
from fhir_server.services import base_url, services
from fhir_server.settings import Settings
from fhir_server.store.database.data_directory import StartupError
from fhir_server.store.database.mongod import database_url
from fhir_server.store.resources.collections import type_of
from fhir_server.store.resources.reindexing import stored_types
from fhir_server.store.work.jobs import Lease


def run(settings: Settings, types: Sequence[str], *, restart: bool = False, console: Console | None = None) -> Pass:
    """Index all resources of the types, or of all types, anew; returns how many were, and were not.

    Raises StartupError for a name that is no type, and while another process does the same.
    """
    unknown = sorted(set(types) - RESOURCE_TYPES)
    if unknown:
        raise StartupError(f"{', '.join(unknown)}: not a resource type of FHIR R4.")
    with database_url(settings) as url:
        connected = settings.model_copy(update={"database_url": url})
        return asyncio.run(_run(connected, types, restart, console or Console()))


def complete(result: Pass) -> bool:
    """Return whether all was indexed that there was; nothing at all, where there was something, is not."""
    return not result.types and not result.failed and (result.done > 0 or result.total == 0)


async def _run(settings: Settings, types: Sequence[str], restart: bool, console: Console) -> Pass:
    results: list[Pass] = []
    async with services(settings) as shared:
        chosen = [each for each in await stored_types(shared.database) if not types or type_of(each) in types]
        base = await _base_url(shared)
        with _bar(console) as progress:
            task = progress.add_task("Indexing", total=None)

            def report(state: Pass) -> None:
                results.append(state)
                name = state.types[0] if state.types else "done"
                progress.update(task, completed=state.done + state.failed, total=state.total, description=name)

            lease = await _acquire(shared)
            await hold(reindex(shared, base, chosen, report, restart=restart), lease)
    return results[-1]


async def _base_url(shared: Services) -> str:
    """Return the FHIR base of the server that runs on the database, or else that of the settings."""
    serving = [str(about["base_url"]) for about in await shared.following.store.living() if "base_url" in about]
    return serving[0] if serving else base_url(shared.settings)


async def _acquire(shared: Services) -> Lease:
    """Return the lease of the job; a process that was killed keeps it for a few seconds still."""
    store = shared.stores.jobs
    deadline = time.monotonic() + store.seconds + 2
    while time.monotonic() < deadline:
        lease = await store.acquire(NAME, shared.following.worker, early=True)
        if lease is not None:
            return lease
        await asyncio.sleep(0.5)
    raise StartupError("Another process is rebuilding the index. Wait for it, or stop it.")


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console
    )
