"""Deciding, on an encrypted database, what its blind keys cannot: on the opened index entries of what may match."""

from __future__ import annotations

from fhir_server.engine.context import Context
from fhir_server.errors import TooLarge
from fhir_server.search.planner.query import compile_query
from fhir_server.search.query.ast import Criterion, Query
from fhir_server.search.query.conditions import HasId
from fhir_server.search.query.hidden_conditions import Hidden, decided, hidden_conditions
from fhir_server.search.query.match import holds
from fhir_server.store.resources.collections import collection_of
from fhir_server.work.budget import spend

MOST = 10_000
"""Resources that are looked at for one such condition."""
_STEPS = 20


async def resolve_hidden(context: Context, query: Query) -> Query:
    """Return the query with nothing left that the database cannot decide; raises TooLarge."""
    cipher = context.services.database.cipher
    if cipher is None:
        return query
    hidden = hidden_conditions(query, cipher.ring.blind)
    if not hidden:
        return query
    return decided(query, {place: HasId(await _ids(context, each)) for place, each in hidden.items()})


async def _ids(context: Context, hidden: Hidden) -> tuple[str, ...]:
    """Return the ids of the resources, and definitions, that meet a condition and that the caller may see."""
    query = Query(types=(hidden.type,), criteria=(Criterion("", "", {hidden.type: hidden.narrowing}),))
    defined = {hidden.type: collection_of(hidden.type)}
    plan = compile_query(query, access=context.access.visible, defined=defined)
    search = context.services.search
    ids: list[str] = []
    for each in plan.types:
        entries = await search.entries(each, MOST, context.session)
        if entries is None:
            raise TooLarge(
                f"More than {MOST} {hidden.type} resources would have to be looked at. This database is encrypted, "
                "where what a text contains, and phrases, are searched among no more than that; ask for less besides.",
                code="too-costly",
            )
        spend(_STEPS * len(entries))
        ids += [entry["_id"] for entry in entries if holds(hidden.condition, entry)]
    return tuple(dict.fromkeys(ids))
