"""Replacing the current version of a resource, however many others write to it meanwhile.

A replacement succeeds only while the version it was planned on is current; the loser plans again on the new one.
Writers of one resource within a worker queue up, so that only writers in different workers ever race. Inside a
transaction nothing is written at once: writes are collected, and `flush` stores them in bulk.
"""

from __future__ import annotations

import asyncio
import dataclasses
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import dataclass
from typing import TypeVar
from weakref import WeakValueDictionary

from fhir_server.auth.permission.patient_writes import Change
from fhir_server.engine import versions
from fhir_server.engine.account_status import end_access, retired
from fhir_server.engine.context import Context, Response
from fhir_server.engine.disclosure import note_resource
from fhir_server.engine.link_targets import require_own_targets
from fhir_server.engine.links import decided, leads_anywhere
from fhir_server.engine.panels import note_written
from fhir_server.engine.profiles.gate import require_conforming
from fhir_server.engine.subscriptions.room import require_room, require_stored_topics
from fhir_server.errors import Conflict, Forbidden, Issue, MethodNotAllowed, NotFound, Unavailable
from fhir_server.r4 import values
from fhir_server.store.definitions.definitions import CORE_PACKAGE
from fhir_server.store.resources.resources import AlreadyExists, Draft, Version
from fhir_server.work.threads import sized

_ATTEMPTS = 60
_T = TypeVar("_T")


class _Line:
    """The writers of one resource, one after another."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._away: Unavailable | None = None
        self._away_at = float("-inf")

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for the others; raises Unavailable where the database was away for one of them meanwhile.

        Each would wait as long again for it.
        """
        came_at = time.monotonic()
        async with self._lock:
            if self._away is not None and self._away_at >= came_at:
                raise copy(self._away)
            try:
                yield
            except Unavailable as error:
                self._away, self._away_at = error, time.monotonic()
                raise


_lines: WeakValueDictionary[tuple[str, str], _Line] = WeakValueDictionary()


@dataclass(frozen=True, slots=True)
class Write:
    """What an interaction does to one resource; `draft` is None where nothing changes, `previous` where nothing was."""

    draft: Draft | None
    previous: Version | None
    response: Response


async def read_current(
    context: Context, resource_type: str, resource_id: str, interaction: str = "update"
) -> Version | None:
    """Return the current version (which may be a tombstone), or None when the id was never used.

    Raises NotFound where the resource is not one that the caller's scopes let the interaction change; Forbidden, where
    the caller may read it. To a caller who may not change all resources of the type an unused id looks like one that
    is not there, or it would show which ids others use.
    """
    key = (resource_type, resource_id)
    if key in context.read_ahead:
        if context.read_ahead[key] is None:
            await require_undefined(context, resource_type, resource_id, interaction)
        return context.read_ahead[key]
    where = context.access.visible(resource_type, interaction)
    version = await context.services.resources.read(resource_type, resource_id, where=where, session=context.session)
    if version is None:
        await require_undefined(context, resource_type, resource_id, interaction)
    if version is None and where is not None:
        await _require_unseen(context, resource_type, resource_id)
        raise NotFound(f"{resource_type}/{resource_id} does not exist.")
    return version


async def require_undefined(context: Context, resource_type: str, resource_id: str, interaction: str) -> None:
    """Raise MethodNotAllowed for an id that belongs to a package: what it defines is not the site's to change.

    An update may store something under an id that R4 itself uses: many bring R4's definitions along with their own.
    """
    package = await context.services.definitions.owner(resource_type, resource_id)
    replaceable = package == CORE_PACKAGE
    if package is not None and not (replaceable and interaction == "update"):
        error = MethodNotAllowed(
            f"{resource_type}/{resource_id} is a definition of the package {package}, and only read here. "
            + (
                "PUT stores one of yours in its place."
                if replaceable
                else "Store what you want to say under another id."
            )
        )
        error.headers["Allow"] = "GET, HEAD, PUT, OPTIONS" if replaceable else "GET, HEAD, OPTIONS"
        raise error


async def _require_unseen(context: Context, resource_type: str, resource_id: str) -> None:
    seen = context.access.visible(resource_type, "read")
    resources = context.services.resources
    version = await resources.read(resource_type, resource_id, where=seen, session=context.session)
    if version is not None and not version.deleted:
        raise Forbidden(
            f"The access token does not let {resource_type}/{resource_id} be changed: a patient's token changes only "
            "what it reported itself, others what their scopes name."
        )


async def replace(
    context: Context,
    resource_type: str,
    resource_id: str,
    plan: Callable[[Version | None], Write],
    interaction: str = "update",
    *,
    size: int = 0,
) -> Response:
    """Carry out what `plan` makes of the current version; plan again when another writer was faster.

    `size` is that of what the caller sent: a plan over much is made in a thread, so it must do nothing but compute.
    Raises what `plan` raises, and Conflict when others win every time.
    """
    if context.pending is not None:
        previous = await read_current(context, resource_type, resource_id, interaction)
        write = await _planned(context, plan, previous, size)
        context.pending.append(write)
        return write.response
    line = _lines.setdefault((resource_type, resource_id), _Line())
    async with line.turn():
        for attempt in range(_ATTEMPTS):
            previous = await read_current(context, resource_type, resource_id, interaction)
            write = await _planned(context, plan, previous, size)
            await _require_targets(context, [write])
            (write,) = await decided(context, [write])
            if await _commit(context, write):
                if write.draft is not None:
                    note_written([write.draft.type])
                    await end_access(context.services, retired([write.draft]))
                return write.response
            await asyncio.sleep(random.uniform(0, 0.002 * min(attempt + 1, 20)))  # noqa: S311 - not a secret
    raise Conflict(f"{resource_type}/{resource_id} is being changed by many others; try again.")


async def visible_response(context: Context, resource_type: str, resource_id: str, response: Response) -> Response:
    """Return the answer to a change of parts, without the whole where the caller may change the resource, not read it.

    Who sends a whole resource knows what is answered; who sends a patch would be shown the rest.
    """
    where = context.access.visible(resource_type, "read")
    if where is None:
        return response
    if await context.services.resources.read(resource_type, resource_id, where=where, session=context.session):
        return response
    return dataclasses.replace(response, json=None)


async def insert(context: Context, draft: Draft) -> tuple[Issue, ...]:
    """Store a new resource, and return what is told beside the success.

    Raises AlreadyExists, in a transaction only when it is flushed, Forbidden and Nonconforming.
    """
    _admit(context, draft, None)
    warnings = await require_conforming(context, draft)
    note_resource(context.base_url, draft.type, draft.id, draft.json)
    write = Write(draft, None, Response(201))
    if context.pending is not None:
        context.pending.append(write)
        return warnings
    await _require_targets(context, [write])
    (write,) = await decided(context, [write])
    assert write.draft is not None, "a decision leaves the draft"
    await context.services.resources.insert(write.draft)
    note_written([draft.type])
    return warnings


_BATCH = 200
"""Writes that one command carries: encoding them takes the driver a few milliseconds, in which nobody else runs."""


def _batched(writes: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """Yield the writes in parts that each go in one command."""
    for start in range(0, len(writes), _BATCH):
        yield writes[start : start + _BATCH]


async def flush(context: Context) -> None:
    """Store all collected writes, one bulk a type and kind; raises AlreadyExists or Conflict, which end it all."""
    inserts: dict[str, list[Draft]] = defaultdict(list)
    replacements: dict[str, list[tuple[Draft, Version]]] = defaultdict(list)
    for write in await decided(context, context.pending or ()):
        if write.draft is None:
            continue
        if write.previous is None:
            inserts[write.draft.type].append(write.draft)
        else:
            replacements[write.draft.type].append((write.draft, write.previous))
    for drafts in inserts.values():
        for some in _batched(drafts):
            await context.services.resources.insert_many(some, session=context.session)
            await context.services.definitions.give_way(some[0].type, [draft.id for draft in some], context.session)
    for pairs in replacements.values():
        for few in _batched(pairs):
            await context.services.resources.replace_many(few, session=context.session)
    if context.pending is not None:
        # Now that all is written: a report may lead to another one of the same transaction.
        await _require_targets(context, context.pending)
        context.retired += retired(write.draft for write in context.pending if write.draft is not None)
        context.pending.clear()


async def flush_early(context: Context) -> None:
    """Store the writes collected so far, so that a large transaction need not hold them all; raises as `flush` does.

    Not where what they lead to is decided by all that the transaction writes.
    """
    if leads_anywhere(context) and not any(map(context.access.links, _changes(context.pending or ()))):
        await flush(context)


async def _planned(
    context: Context, plan: Callable[[Version | None], Write], previous: Version | None, size: int
) -> Write:
    stored = 0 if previous is None else len(previous.json)
    write = await sized(size + stored, plan, previous)
    if write.draft is not None and write.draft.resource is not None:
        _admit(context, write.draft, previous)
        warnings = await require_conforming(context, write.draft)
        note_resource(context.base_url, write.draft.type, write.draft.id, write.draft.json)
        if warnings:
            answer = dataclasses.replace(write.response, warnings=(*write.response.warnings, *warnings))
            return dataclasses.replace(write, response=answer)
    elif write.previous is not None:
        note_resource(context.base_url, write.previous.type, write.previous.id, write.previous.json)
    return write


def _admit(context: Context, draft: Draft, previous: Version | None) -> None:
    # Here, where all writes pass with their references resolved, and not where the body came in.
    context.access.admit(change_of(draft, previous))


def change_of(draft: Draft, previous: Version | None) -> Change:
    """Return what the draft (of a resource, not of a deletion) changes, as the access rule looks at it."""
    before = previous.json if previous is not None else b""
    return Change(
        interaction=versions.interaction_of(draft.method),
        type=draft.type,
        id=draft.id,
        entry=draft.index,
        after=draft.resource or {},
        read_before=lambda: values.decode(before) if before else None,
    )


async def _require_targets(context: Context, writes: Sequence[Write]) -> None:
    await require_stored_topics(context, [write.draft for write in writes if write.draft])
    new = [write for write in writes if write.previous is None or write.previous.deleted]
    await require_room(context, [write.draft for write in new if write.draft])
    await require_own_targets(context, _changes(writes))


def _changes(writes: Sequence[Write]) -> list[Change]:
    return [
        change_of(write.draft, write.previous)
        for write in writes
        if write.draft is not None and write.draft.resource is not None
    ]


async def _commit(context: Context, write: Write) -> bool:
    """Store what is to be written and return whether it may be acknowledged; else it is to be planned again."""
    if write.draft is None:
        if write.previous is not None:
            return await context.services.resources.confirmed(write.previous)
        await context.services.database.wait_for_majority()
        return True
    if write.previous is not None:
        return await context.services.resources.replace(write.draft, write.previous)
    try:
        await context.services.resources.insert(write.draft)
    except AlreadyExists:
        return False
    await context.services.definitions.give_way(write.draft.type, [write.draft.id])
    return True
