"""The job that rotates the data key of an encrypted database, beside requests.

A new key is first given to every process, then all seal by it, then what the old one has sealed is sealed anew, then
the old one is destroyed. Each step is written down, so that another process goes on with it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import structlog

from fhir_server.engine.context import Services
from fhir_server.errors import Conflict
from fhir_server.jobs.runner import Job
from fhir_server.store.encryption.following import ABOUT, KeyFollower
from fhir_server.store.encryption.key_ring import KEY_BYTES
from fhir_server.store.encryption.resealing import reseal
from fhir_server.store.encryption.stored_keys import change, stored
from fhir_server.store.work.jobs import Lease

NAME = "key-rotation"
EVERY_SECONDS = 60.0
_LOOK_SECONDS = 1.0
_BETWEEN = timedelta(days=1)
"""Between two rotations for what was erased: each seals everything anew."""

Progress = Callable[[int], None]
Document = dict[str, Any]

log = structlog.get_logger(__name__)


def key_rotation(services: Services) -> Job:
    """Return the job, which goes on with a rotation that was begun."""
    return Job(NAME, partial(_go_on, services), EVERY_SECONDS)


async def _go_on(services: Services, _: Lease) -> None:
    if services.keys is not None:
        if is_due(await _keys(services.keys), datetime.now(UTC)):
            await begin(services.keys)
        await go_on(services, services.keys)


def is_due(document: Document, now: datetime) -> bool:
    """Return whether the data key is to be rotated because something was erased: at most once a day."""
    erased, rotated = document.get("erased"), document.get("rotated")
    return erased is not None and (rotated is None or now - rotated >= _BETWEEN)


async def begin(keys: KeyFollower) -> None:
    """Make a new data key, unless a rotation is under way."""
    document = await _keys(keys)
    if "next" in document or len(document["data"]) > 1:
        return
    number = document["current"] + 1
    made = {"number": number, "wrapped": await keys.service.wrap(os.urandom(KEY_BYTES))}
    await change(keys.database, document, data=[*document["data"], made], next=number, erased=None)


async def go_on(services: Services, keys: KeyFollower, progress: Progress = lambda done: None) -> int:
    """Bring a rotation to its end, if one is under way; return how many documents were sealed anew."""
    document = await _keys(keys)
    if "next" in document:
        await _taken_up(services, keys, document)
        number = document.pop("next")
        document = await change(keys.database, document, current=number)
    if len(document["data"]) == 1:
        return 0
    await _taken_up(services, keys, document)
    # What was sealed by the old key and is still on its way is stored before anything is looked at.
    await services.following.barrier()
    resealed = await reseal(keys.database, progress)
    current = [each for each in document["data"] if each["number"] == document["current"]]
    await change(keys.database, document, data=current, rotated=datetime.now(UTC))
    await keys.look()
    log.info("keys.rotated", number=document["current"], documents=resealed)
    return resealed


async def _keys(keys: KeyFollower) -> Document:
    document = await stored(keys.database)
    if document is None:
        raise Conflict("The database is not encrypted.")
    return document


async def _taken_up(services: Services, keys: KeyFollower, document: Document) -> None:
    """Return once every living process goes by a change of the keys."""
    while True:
        await keys.look()
        await services.following.look()
        living = await services.following.store.living()
        if all(about.get(ABOUT, 0) >= document["edit"] for about in living):
            return
        await asyncio.sleep(_LOOK_SECONDS)
