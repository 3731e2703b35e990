"""The current version of a resource, read and replaced under contention.

A write that replaces a version succeeds only while that version is current. Writers of one resource within a worker queue up
for it; between workers the loser looks again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from weakref import WeakValueDictionary

from fhir_server.engine.context import Context
from fhir_server.errors import Conflict, NotFound
from fhir_server.store.resources import Version

_ATTEMPTS = 40
_locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()


async def read_current(context: Context, resource_type: str, resource_id: str) -> Version | None:
    """Return the current version (which may be a tombstone) for a write, or None when the id was never used.

    Raises NotFound where the resource is not one that the caller may see.
    """
    key = (resource_type, resource_id)
    if key in context.known:
        return context.known[key]
    version = await context.services.resources.read(resource_type, resource_id, session=context.session)
    where = context.access.where(resource_type)
    if version is not None and not version.deleted and where is not None:
        seen = await context.services.resources.read(resource_type, resource_id, where=where, session=context.session)
        if seen is None:
            raise NotFound(f"{resource_type}/{resource_id} does not exist.")
    return version


async def attempts(context: Context, resource_type: str, resource_id: str) -> AsyncIterator[int]:
    """Yield as often as a write may be tried; raises Conflict at the end. Inside a transaction there is one attempt."""
    if context.session is not None:
        yield 0
        raise Conflict(f"{resource_type}/{resource_id} was changed by another request meanwhile; try again.")
    lock = _locks.setdefault((resource_type, resource_id), asyncio.Lock())
    async with lock:
        for attempt in range(_ATTEMPTS):
            yield attempt
            await asyncio.sleep(random.uniform(0, 0.002 * min(attempt + 1, 20)))  # noqa: S311 - not a secret
    raise Conflict(f"{resource_type}/{resource_id} is being changed by many others; try again.")
