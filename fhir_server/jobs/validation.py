"""The job that validates what is stored, when an operator asks for it; it goes on where it was broken off."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from fhir_server.engine import versions
from fhir_server.engine.context import Context, Services
from fhir_server.engine.profiles.checking import issues_of, profile_faults
from fhir_server.errors import FhirError, Issue, operation_outcome
from fhir_server.jobs.runner import Job
from fhir_server.r4 import values
from fhir_server.store.resources.passing import versions_after
from fhir_server.store.resources.reindexing import count
from fhir_server.store.resources.resources import Version
from fhir_server.store.work.jobs import Lease
from fhir_server.work.budget import Budget, working
from fhir_server.work.threads import apart

NAME = "validate"
_SECONDS = 10.0
"""Processor time that the validation of one resource may take."""

Json = dict[str, Any]
Note = Callable[[Iterable[Json]], None]
"""Takes the lines of the report: a resource's name, and the OperationOutcome of what is wrong with it."""


class Progress(msgspec.Struct, frozen=True):
    """How far it came: `types` are still to do, of the first all up to the id `after` is done."""

    types: tuple[str, ...]
    after: str = ""
    total: int = 0
    done: int = 0
    faulty: int = 0


def validate_stored(
    services: Services,
    base_url: str,
    types: Sequence[str],
    note: Note,
    report: Callable[[Progress], None],
    *,
    warnings: bool = False,
    restart: bool = False,
) -> Job:
    """Return the job for resources of these types; `report` is told of each step.

    With `warnings` also what is only doubtful is noted. It goes on with an earlier one of the same types that was
    broken off, unless it is to `restart`.
    """
    context = Context(services, base_url)

    async def run(lease: Lease) -> None:
        begun = None if restart else _broken_off(lease, types)
        state = begun or Progress(tuple(types), total=await count(services.database, types))
        report(state)
        while state.types:
            state = await _further(context, state, note, warnings=warnings)
            await lease.save({"asked": list(types), **msgspec.to_builtins(state)})
            report(state)

    return Job(NAME, run, 0.0)


def _broken_off(lease: Lease, types: Sequence[str]) -> Progress | None:
    if lease.state.get("asked") != list(types) or not lease.state.get("types"):
        return None
    return msgspec.convert(lease.state, Progress, strict=False)


async def _further(context: Context, state: Progress, note: Note, *, warnings: bool) -> Progress:
    page = await versions_after(context.services.resources, state.types[0], state.after)
    if not page:
        return replace(state, types=state.types[1:], after="")
    lines, faulty = [], 0
    for version in page:
        issues = await _issues(context, version, warnings=warnings)
        faulty += any(each.severity in ("error", "fatal") for each in issues)
        if issues:
            lines.append({"resource": f"{version.type}/{version.id}", "outcome": operation_outcome(issues)})
    note(lines)
    return replace(state, after=page[-1].id, done=state.done + len(page), faulty=state.faulty + faulty)


async def _issues(context: Context, version: Version, *, warnings: bool) -> list[Issue]:
    """Return what is wrong with a stored resource; that it could not be looked at in time, too."""
    resource = values.decode(version.json)
    try:
        with working(Budget(_SECONDS, caller=NAME)):
            issues = await apart(lambda: versions.faults(context, resource, warnings=warnings))
            if any(each.severity == "error" for each in issues):
                return issues
            required = context.services.settings.profiles_required.get(version.type, ())
            faults = await profile_faults(context, resource, profiles=required, everything=warnings)
    except FhirError as error:
        return [*error.issues]
    reported = [each for each in faults if warnings or each.severity == "error"]
    return issues + issues_of(reported, version.type)
