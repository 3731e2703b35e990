"""Which resources others kept changing, where a transaction did not get through for them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from fhir_server.engine.context import Context
from fhir_server.engine.transaction.transaction_entry import Entry
from fhir_server.errors import Conflict, FhirError, Issue
from fhir_server.store.database.transactions import RolledBack
from fhir_server.store.resources.resources import AlreadyExists


async def contention(context: Context, entries: Sequence[Entry], error: RolledBack | AlreadyExists) -> FhirError:
    """Return the Conflict that names the entries whose resources others changed, or else the error as it is.

    `context` and `entries` are those of the last attempt, with the versions that it read.
    """
    if isinstance(error, AlreadyExists):
        changed = _made_by_others(context, entries, error)
    else:
        changed = await _changed(context, entries)
    issues = [
        Issue("conflict", f"{_name(entry)} is being changed by others all the time; try again.", (entry.place,))
        for entry in changed
    ]
    return Conflict(issues=issues) if issues else error


def _made_by_others(context: Context, entries: Sequence[Entry], error: AlreadyExists) -> list[Entry]:
    stored = context.services.resources.condition_as_stored
    return [
        entry
        for entry in entries
        if entry.writes and error.key in (entry.id, entry.condition and stored(entry.condition))
    ]


async def _changed(context: Context, entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries whose resource has another version now than the last attempt has read."""
    read_before = context.read_ahead
    by_type: dict[str, set[str]] = defaultdict(set)
    for resource_type, resource_id in read_before:
        by_type[resource_type].add(resource_id)
    stale: set[tuple[str, str]] = set()
    for resource_type, ids in by_type.items():
        current = await context.services.resources.read_many(resource_type, sorted(ids))
        for resource_id in ids:
            now, then = current.get(resource_id), read_before[resource_type, resource_id]
            if (now and now.version) != (then and then.version):
                stale.add((resource_type, resource_id))
    return [
        entry
        for entry in entries
        if entry.writes and any((entry.route.type or "", each) in stale for each in entry.written_ids)
    ]


def _name(entry: Entry) -> str:
    ids = ", ".join(f"{entry.route.type}/{each}" for each in entry.written_ids[:3])
    if entry.condition is not None and entry.request.if_none_exist:
        return f"{entry.route.type}?{entry.request.if_none_exist.lstrip('?')}"[:200]
    return ids or str(entry.route.type)
