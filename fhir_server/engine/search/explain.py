"""`_explain=true`: how the database finds the first page of a search, in words and figures.

The figures show how everybody's data is spread, so they are for callers who may see all of it. Others are told what
they asked and which keys of the index answer that, which depends on nothing that is stored.
"""

from __future__ import annotations

from fhir_server.engine.context import Context
from fhir_server.errors import Issue
from fhir_server.search.planner.query import Plan, TypePlan, compile_query
from fhir_server.search.query.ast import Query
from fhir_server.search.query.describe import describe, describe_scan
from fhir_server.store.search.choice import Way
from fhir_server.store.search.explain import Execution


async def explained(context: Context, query: Query, plan: Plan, limit: int) -> list[Issue]:
    """Return the issues that explain a search, for the OperationOutcome of its Bundle."""
    if any(context.access.visible(name) is not None for name in query.types):
        if len(query.types) > 1:
            # Which types there are would tell what is stored.
            return [_issue("A search of several types is explained to callers who may see all of them.")]
        own = compile_query(query).types[0]
        return [_issue(f"{own.type}: {_described(query, own)}; read: {_read(own)}")]
    explanations = await context.services.search.explain(plan, max(limit, 1))
    plans = {each.collection: each for each in plan.types}
    issues = []
    for name, way, executed in explanations:
        issues.append(_issue(f"{name}: {_described(query, plans[name])}; found: {_way_text(plans[name], way)}"))
        issues += [_issue(_execution(each)) for each in executed]
    return issues


def _issue(text: str) -> Issue:
    return Issue("informational", text, (), "information")


def _described(query: Query, plan: TypePlan) -> str:
    return f"asked: {describe(query.condition(plan.type))}"


def _read(plan: TypePlan) -> str:
    return ", then ".join(map(describe_scan, plan.drives[0].scans)) or "nothing to read"


def _way_text(plan: TypePlan, way: Way) -> str:
    kind, number = way
    if kind in {"inside", "gather"}:
        starts = plan.sources[number].starts
        chain = ", then ".join(f"{describe_scan(start.scan)} of {start.type}" for start in starts)
        return f"from the inner end of the chain: {chain}" + ("; collected and sorted" if kind == "gather" else "")
    scans = plan.orders[number].scans if kind == "order" else plan.drives[number].scans
    read = ", then ".join(map(describe_scan, scans)) or "nothing to read"
    return {"read": read, "order": f"in the order of the sort: {read}", "collect": f"{read}; collected and sorted"}[
        kind
    ]


def _execution(each: Execution) -> str:
    index = ", ".join(each.indexes) or "none"
    read = f"{each.keys} keys and {each.documents} documents examined"
    return f"{each.collection} by index {index}: {read}, {each.returned} returned, {each.milliseconds} ms"
