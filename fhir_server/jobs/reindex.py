"""The job that makes the index of everything anew, when an operator asks for it; it goes on where it was broken off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import msgspec
from msgspec.structs import replace

from fhir_server.engine.context import Services
from fhir_server.jobs.runner import Job
from fhir_server.search.index.index import index
from fhir_server.search.lifecycle import Pass
from fhir_server.store.resources.reindexing import count, reindex_batch
from fhir_server.store.work.jobs import Lease

NAME = "reindex"

Report = Callable[[Pass], None]


def reindex(services: Services, base_url: str, types: Sequence[str], report: Report, *, restart: bool = False) -> Job:
    """Return the job for resources of these types; `report` is told of each step.

    It goes on with an earlier one of the same types that was broken off, unless it is to `restart`.
    """

    async def run(lease: Lease) -> None:
        begun = None if restart else _broken_off(lease, types)
        state = begun or Pass(services.following.revision, tuple(types), total=await count(services.database, types))
        take = partial(_further, services, partial(_index, services, base_url))
        report(state)
        while state.types:
            state = await take(state)
            await lease.save({"asked": list(types), **msgspec.to_builtins(state)})
            report(state)

    return Job(NAME, run, 0.0)


def _broken_off(lease: Lease, types: Sequence[str]) -> Pass | None:
    if lease.state.get("asked") != list(types) or not lease.state.get("types"):
        return None
    return msgspec.convert(lease.state, Pass)


async def _further(services: Services, making: Callable[..., dict[str, object]], state: Pass) -> Pass:
    if not services.following.fresh:
        await services.following.look()
    with services.following.working():
        batch = await reindex_batch(services.resources, state.types[0], making, after=state.after, retry=True)
    if batch is None:
        return replace(state, types=state.types[1:], after="")
    return replace(state, after=batch.last, done=state.done + batch.done, failed=state.failed + batch.failed)


def _index(services: Services, base_url: str, resource: dict[str, object]) -> dict[str, object]:
    return index(resource, timezone=services.settings.default_timezone, base_url=base_url)
