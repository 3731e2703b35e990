"""The criteria of a Subscription: one search of one type, decided on each version by itself."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from urllib.parse import parse_qsl

from fhir_server.errors import BadRequest, Issue, Unprocessable
from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.search.query.ast import Query
from fhir_server.search.query.conditions import Condition
from fhir_server.search.query.open_conditions import open_conditions
from fhir_server.search.query.parse import WRITING, parse
from fhir_server.search.query.required import needs_others
from fhir_server.search.registry import parameters

UNTOLD = frozenset({"AuditEvent"})
"""Types that nobody can subscribe to: each notification makes an AuditEvent, and would be told in its turn."""

TOLD_TYPES = tuple(sorted(RESOURCE_TYPES - UNTOLD))


def compiled(criteria: str, timezone: str, base_url: str) -> tuple[str, Condition]:
    """Return the resource type and the condition that the criteria ask for; raises Unprocessable naming the fault."""
    resource_type, place = type_of(criteria), "Subscription.criteria"
    try:
        return resource_type, _condition(criteria, timezone, base_url, id(parameters(resource_type)))
    except BadRequest as error:
        raise Unprocessable(issues=[Issue(each.code, each.diagnostics, (place,)) for each in error.issues]) from error
    except _Refused as error:
        raise Unprocessable(str(error), expression=place, code="not-supported") from error


def type_of(criteria: str) -> str:
    """Return the type that the criteria are about; raises Unprocessable where that is none that can be told of."""
    resource_type, place = criteria.partition("?")[0], "Subscription.criteria"
    if resource_type not in RESOURCE_TYPES:
        text = f"The criteria begin with a resource type, as in Observation?code=1234; not {resource_type[:40]!r}."
        raise Unprocessable(text, expression=place, code="value")
    if resource_type in UNTOLD:
        raise Unprocessable(f"Nobody is told of {resource_type}.", expression=place, code="not-supported")
    return resource_type


class _Refused(ValueError):
    """Criteria that one resource alone cannot be judged by."""


@lru_cache(maxsize=500)  # a condition may have 64 KB, and whoever is refused leaves one here too
def _condition(criteria: str, timezone: str, base_url: str, _parameters: int) -> Condition:
    resource_type, _, text = criteria.partition("?")
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict")
    except ValueError as error:
        raise _Refused("The criteria are not a valid, percent-encoded UTF-8 string.") from error
    query = parse((resource_type,), pairs, strict=True, timezone=timezone, base_url=base_url)
    written = next((f"{name} says how results are written." for name, _ in pairs if name in WRITING), None)
    refused = written or next(_refused(query, resource_type), None)
    if refused is not None:
        raise _Refused(refused)
    return query.condition(resource_type)


def _refused(query: Query, resource_type: str) -> Iterator[str]:
    for name, _ in query.results:
        yield f"{name[:80]} says how results are shown, which criteria have none of."
    if query.contained != "false":
        yield "_contained searches in contained resources, which nobody is told of by themselves."
    for criterion in query.criteria:
        condition = criterion.conditions[resource_type]
        if needs_others(condition):
            yield f"{criterion.name[:80]} asks for other resources (a chain, _has or _list), which criteria cannot."
    for open_condition in open_conditions(query):
        yield f"{open_condition.name[:80]}:{open_condition.relation} asks for other resources, which criteria cannot."
