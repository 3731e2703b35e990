"""What the operator does by command, told in the audit trail: by whom, what, and how it ended."""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from fhir_server.audit.job import tell
from fhir_server.audit.records import AccessRecord, Actor
from fhir_server.engine.context import Services
from fhir_server.engine.versions import new_id
from fhir_server.errors import FhirError
from fhir_server.store.database.data_directory import StartupError

T = TypeVar("T")

_TOLD_OF_RESULTS = ("id", "role", "fhirUser", "client_id")


async def audited(
    services: Services, base_url: str, event: str, work: Callable[[], Awaitable[T]], **details: str | None
) -> T:
    """Return what the work returns; whether it succeeds or not is told as an event of that name with the details.

    Of a user that it returns the id is told, and no name: it may be a patient's, and an erasure leaves the trail alone.
    """
    try:
        done = await work()
    except (StartupError, FhirError):
        await tell(services, base_url, record(event, 400, "The command was refused.", details))
        raise
    results = {name: done[name] for name in _TOLD_OF_RESULTS if done.get(name)} if isinstance(done, dict) else {}
    await tell(services, base_url, record(event, 200, "", details | results))
    return done


def record(event: str, status: int, reason: str, details: Mapping[str, str | None]) -> AccessRecord:
    """Return the record of a command: by whom it was given, and how it ended."""
    name = _operator()
    return AccessRecord(
        id=new_id(),
        milliseconds=int(time.time() * 1000),
        actor=Actor(client="fhir-server", user=name, username=name),
        method="",
        path="command",
        query="",
        status=status,
        event=event,
        reason=reason,
        details=tuple((key.replace("_", "-"), value) for key, value in details.items() if value),
    )


def _operator() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that has no name
        return str(os.getuid())
