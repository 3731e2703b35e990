"""Resources above and below others: locations within locations, organizations within organizations.

https://hl7.org/fhir/R4/search.html#recursive
"""

from __future__ import annotations

from collections.abc import Sequence

from fhir_server.engine.context import Context
from fhir_server.errors import BadRequest
from fhir_server.search.params.references import named_in
from fhir_server.search.query.conditions import Condition, HasKey, Hierarchy, either
from fhir_server.search.registry import parameters

_MOST = 10_000


async def resolve_hierarchy(context: Context, hierarchy: Hierarchy) -> Condition:
    """Return the condition on references that stands for one on a hierarchy; raises BadRequest where there is none."""
    conditions: list[Condition] = []
    for reference in hierarchy.references:
        resource_type, _, resource_id = reference.partition("/")
        parent = parent_parameter(resource_type)
        if parent is None:
            if len(hierarchy.references) == 1:
                raise BadRequest(f"{resource_type} resources are not above or below one another.", code="not-supported")
            continue
        reached = await _reached(context, resource_type, parent, resource_id, upwards=hierarchy.relation == "above")
        conditions.append(HasKey(tuple(f"{hierarchy.name}={resource_type}/{each}" for each in reached)))
    return either(conditions)


def parent_parameter(resource_type: str) -> str | None:
    """Return the search parameter by which resources of the type are part of others of it."""
    for code, parameter in parameters(resource_type).items():
        if code.replace("-", "") == "partof" and resource_type in parameter.target:
            return code
    return None


async def _reached(context: Context, resource_type: str, parent: str, start: str, *, upwards: bool) -> list[str]:
    reached = {start: None}
    fresh = [start]
    while fresh:
        step = await (_above if upwards else _below)(context, resource_type, parent, fresh)
        fresh = [each for each in dict.fromkeys(step) if each not in reached]
        reached.update(dict.fromkeys(fresh))
        if len(reached) > _MOST:
            raise BadRequest(f"More than {_MOST} resources are below {resource_type}/{start}.", code="too-costly")
    return list(reached)


async def _above(context: Context, resource_type: str, parent: str, ids: Sequence[str]) -> list[str]:
    where = context.access.visible(resource_type)
    rows = await context.services.search.by_ids(resource_type, ids, where, len(ids), None)
    return [each for row in rows for each in sorted(named_in(row.keys, resource_type, (parent,)))]


async def _below(context: Context, resource_type: str, parent: str, ids: Sequence[str]) -> list[str]:
    keys = [f"{parent}={resource_type}/{each}" for each in ids]
    where = context.access.visible(resource_type)
    rows = await context.services.search.by_keys(resource_type, keys, where, _MOST, None, ())
    return [row.id for row in rows]
