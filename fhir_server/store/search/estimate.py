"""About how many resources meet a search (`_total=estimate`): exact where few are read for it, else from a sample.

Measured on 90,000 observations: 1 ms for all of them, 10 ms for conditions on the resource itself and 60 ms for those
on others, where the exact number costs 35 ms, up to 580 and up to 800; and that grows with the data.
"""

from __future__ import annotations

from fhir_server.search.index.keys import EVERY
from fhir_server.search.planner.query import Plan, TypePlan
from fhir_server.search.planner.scans import ALL, Equal
from fhir_server.store.search.choice import FEW
from fhir_server.store.search.commands import aggregate
from fhir_server.store.search.search import SearchStore

SAMPLE = 500
COUNTED = 20_000
"""Keys that the index counts in the time that a sample takes: 0.3 us each."""
_ENOUGH = 20
"""Matches in a sample by which it says something; with fewer, a larger one is taken."""


async def estimate(store: SearchStore, plan: Plan) -> int:
    """Return about how many resources meet a plan.

    It is made from the size of the whole collection, so it is only for callers who may see all of that.
    """
    return sum([await _of_type(store, each) for each in plan.types])


async def _of_type(store: SearchStore, plan: TypePlan) -> int:
    if await store.reads(plan) < FEW:
        return await store.count(Plan((plan,)))
    match plan.drives[0].scans:
        case (Equal((key,)) as scan,) if plan.exact and key != EVERY:
            counted = await store.count_scans(plan.collection, (scan,), COUNTED)
            if counted < COUNTED:
                return counted
    stored = await store.size(plan.collection)
    if plan.exact and plan.drives[0].scans == (ALL,):
        # Nothing is asked; what was deleted is among the number.
        return stored
    size = min(SAMPLE, stored)
    matches = await _met(store, plan, size)
    # Beyond a twentieth of the collection, a sample would read it all.
    larger = min(10 * SAMPLE, stored // 25)
    if matches < _ENOUGH and larger > size:
        size = larger
        matches = await _met(store, plan, size)
    return round(stored * matches / size) if size else 0


async def _met(store: SearchStore, plan: TypePlan, size: int) -> int:
    """Return how many of a random sample meet a plan."""
    stages = [{"$sample": {"size": size}}, *plan.stages, {"$match": plan.filter}, {"$count": "n"}]
    documents, _, _ = await store.ask(aggregate(plan.collection, stages, 1), None)
    return int(documents[0]["n"]) if documents else 0
