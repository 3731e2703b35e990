"""`_explain=true`: how the database finds the first page of a search, in words and figures."""

from __future__ import annotations

from typing import Any

from fhir_server.engine.context import Context
from fhir_server.errors import Forbidden
from fhir_server.search.ast import Query
from fhir_server.search.describe import describe, describe_scan
from fhir_server.search.query import Plan, TypePlan
from fhir_server.store.search_choice import Way
from fhir_server.store.search_explain import Execution


async def explained(context: Context, query: Query, plan: Plan, limit: int) -> dict[str, Any]:
    """Return the entry that explains a search; raises Forbidden for a caller who may not see everything searched."""
    if any(context.access.visible(name) is not None for name in query.types):
        raise Forbidden("_explain shows how others' data is spread, so it is for callers who may see all of it.")
    found = await context.services.search.explain(plan, max(limit, 1))
    plans = {each.type: each for each in plan.types}
    parts = [_type(query, plans[name], way, executed) for name, way, executed in found]
    return {"resource": {"resourceType": "Parameters", "parameter": parts}, "search": {"mode": "outcome"}}


def _type(query: Query, plan: TypePlan, way: Way, executed: list[Execution]) -> dict[str, Any]:
    return {
        "name": plan.type,
        "part": [
            {"name": "asked", "valueString": describe(query.condition(plan.type))},
            {"name": "found", "valueString": _found(plan, way)},
            *(_execution(each) for each in executed),
        ],
    }


def _found(plan: TypePlan, way: Way) -> str:
    kind, number = way
    if kind in {"inside", "gather"}:
        starts = plan.sources[number].starts
        found = ", then ".join(f"{describe_scan(start.scan)} of {start.type}" for start in starts)
        return f"from the inner end of the chain: {found}" + ("; collected and sorted" if kind == "gather" else "")
    scans = plan.order if kind == "order" else plan.drives[number].scans
    read = ", then ".join(map(describe_scan, scans)) or "nothing to read"
    return {"read": read, "order": f"in the order of the sort: {read}", "collect": f"{read}; collected and sorted"}[
        kind
    ]


def _execution(each: Execution) -> dict[str, Any]:
    figures = {
        "keysExamined": each.keys,
        "documentsExamined": each.documents,
        "returned": each.returned,
        "milliseconds": each.milliseconds,
    }
    return {
        "name": "execution",
        "part": [
            {"name": "collection", "valueString": each.collection},
            {"name": "index", "valueString": ", ".join(each.indexes) or "none"},
            *({"name": name, "valueInteger": figure} for name, figure in figures.items()),
        ],
    }
