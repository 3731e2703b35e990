"""Conditional references of a transaction: "Patient?identifier=sys|1" becomes "Patient/7".

They are resolved as of after the transaction's writes, so one may mean a resource of the same bundle.
https://hl7.org/fhir/R4/http.html#trules
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from fhir_server.engine.context import Context
from fhir_server.engine.interactions.conditional import criteria, find_all
from fhir_server.errors import BadRequest, PreconditionFailed
from fhir_server.r4.references import conditional
from fhir_server.search.query.ast import Query
from fhir_server.search.query.conditions import (
    All,
    Condition,
    HasKey,
    Narrowed,
    ReferredBy,
    RefersTo,
    leaves,
)
from fhir_server.search.query.match import holds, index_entry
from fhir_server.work.budget import spend
from fhir_server.work.threads import breathe


class Written:
    """What a transaction makes of the resources that it writes, by type and id (None where it deletes one), in a form
    that many criteria can be asked of.
    """

    def __init__(self, context: Context, resources: Mapping[tuple[str, str], dict[str, Any] | None]) -> None:
        self._context = context
        self._types: dict[str, dict[str, dict[str, Any] | None]] = {}
        self._kept: dict[str, _Entries] = {}
        for (resource_type, resource_id), resource in resources.items():
            self._types.setdefault(resource_type, {})[resource_id] = resource

    def ids(self, resource_type: str) -> Collection[str]:
        """Return the ids of those of a type."""
        return self._types.get(resource_type, {}).keys()

    async def matches(self, query: Query) -> set[str]:
        """Return the ids of those that meet the criteria; raises ValueError for criteria that need other resources."""
        condition = query.condition(query.types[0])
        entries = await self._entries(query.types[0])
        return {resource_id for resource_id in entries.candidates(condition) if entries.meets(resource_id, condition)}

    async def _entries(self, resource_type: str) -> _Entries:
        """Return the index entries of those of a type, made once."""
        if resource_type not in self._kept:
            entries = self._kept[resource_type] = _Entries()
            settings = self._context.services.settings
            for resource_id, resource in self._types.get(resource_type, {}).items():
                await breathe()
                if resource is not None:
                    own = resource | {"id": resource_id}
                    entries.add(resource_id, index_entry(own, settings.default_timezone, self._context.base_url))
        return self._kept[resource_type]


class _Entries:
    """Index entries of several resources, and which of them have a key."""

    def __init__(self) -> None:
        self._entries: dict[str, dict[str, Any]] = {}
        self._by_key: dict[str, set[str]] = {}

    def add(self, resource_id: str, entry: dict[str, Any]) -> None:
        self._entries[resource_id] = entry
        for key in entry["keys"]:
            self._by_key.setdefault(key, set()).add(resource_id)

    def meets(self, resource_id: str, condition: Condition) -> bool:
        spend(3)
        return holds(condition, self._entries[resource_id])

    def candidates(self, condition: Condition) -> Collection[str]:
        """Return ids among which are all that meet the condition."""
        match condition:
            case HasKey(keys):
                return {resource_id for key in keys for resource_id in self._by_key.get(key, ())}
            case Narrowed(test, _):
                return self.candidates(test)
            case All(parts) if parts and not any(_asks_others(each) for each in parts):
                return min((self.candidates(each) for each in parts), key=len)
        return self._entries.keys()


def _asks_others(condition: Condition) -> bool:
    return any(isinstance(each, RefersTo | ReferredBy) for each in leaves(condition))


async def resolve(context: Context, reference: str, written: Written) -> str | None:
    """Return the reference that a conditional one stands for; None for one that is not conditional.

    Raises PreconditionFailed where it finds no resource or several: the transaction then fails.
    """
    parts = conditional(reference)
    if parts is None:
        return None
    resource_type, text = parts
    query = await criteria(context, resource_type, text)
    own = written.ids(resource_type)
    matches = await find_all(context, query, 2 + len(own))
    ids = {resource_id for resource_id in matches if resource_id not in own} | await _written_matches(query, written)
    if len(ids) != 1:
        raise PreconditionFailed(
            f"The conditional reference {reference[:200]} finds {'several resources' if ids else 'no resource'}."
        )
    return f"{resource_type}/{ids.pop()}"


async def _written_matches(query: Query, written: Written) -> set[str]:
    try:
        return await written.matches(query)
    except ValueError as error:
        raise BadRequest(
            f"A conditional reference to {query.types[0]} can have no chain or value set where the transaction"
            " writes such resources itself.",
            code="not-supported",
        ) from error
