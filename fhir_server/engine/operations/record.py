"""What belongs to the record of a patient or encounter, or of every patient: the compartment, narrowed by dates of care
and of change.

https://hl7.org/fhir/R4/compartmentdefinition.html
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Literal

from fhir_server.engine.context import Context
from fhir_server.engine.operations.inputs import Inputs
from fhir_server.search.query.compartments import in_compartment, membership
from fhir_server.search.query.conditions import EVERYTHING, All, Condition, RefersTo, either
from fhir_server.search.query.parse import parse
from fhir_server.search.registry import parameters

_CARE_DATES = frozenset({
    "authored", "authored-on", "authoredon", "collected", "created", "date", "datetime", "datewritten", "effective",
    "effective-time", "event-date", "identified", "occurrence", "onset-date", "period", "recorded", "recorded-date",
    "sent", "start-date", "started", "whenhandedover", "whenprepared",
})  # fmt: skip
"""The search parameters, of any type, that say when care was given or asked for."""


def record(
    context: Context, kind: str, resource_id: str | None, inputs: Inputs, types: Iterable[str]
) -> dict[str, Condition]:
    """Return for each type what makes a resource part of the record of `kind/resource_id`.

    Without an id it is part of that of any of the kind that the caller may see. Of the inputs, `start` and `end` are
    about the dates of care (what bears none is always in), `_since` is about the last change.
    """
    since, start, end = inputs.one("_since"), inputs.one("start"), inputs.one("end")
    conditions_by_type: dict[str, Condition] = {}
    for name in types:
        one = resource_id is not None
        conditions = [in_compartment(kind, resource_id or "", name) if one else _belonging_to_any(kind, name)]
        if since is not None:
            conditions.append(_condition(context, name, "_lastUpdated", f"ge{since}"))
        if start is not None or end is not None:
            conditions += _dated(context, name, start, end)
        conditions_by_type[name] = All(tuple(conditions)) if len(conditions) > 1 else conditions[0]
    return conditions_by_type


def _belonging_to_any(kind: str, resource_type: str) -> Condition:
    if resource_type == kind:
        return EVERYTHING
    # A chain, because a reference may lead to one who was deleted, or whom the caller does not see.
    return either([RefersTo(name, {kind: EVERYTHING}) for name in membership(kind, resource_type)])


def _dated(context: Context, resource_type: str, start: str | None, end: str | None) -> list[Condition]:
    codes = [code for code in parameters(resource_type) if code in _CARE_DATES]
    if not codes:
        return []
    # A period counts that has a part in the range, which ge and le would not say of one that reaches beyond it.
    before, after = start and _beside(start, -1), end and _beside(end, +1)
    bounds = ([f"gt{before}"] if before else []) + ([f"lt{after}"] if after else [])
    within = [All(tuple(_condition(context, resource_type, code, bound) for bound in bounds)) for code in codes]
    undated = All(tuple(_condition(context, resource_type, f"{code}:missing", "true") for code in codes))
    return [either([*within, undated])]


def _beside(text: str, step: Literal[-1, 1]) -> str | None:
    """Return the year, month or day before or after; None where time itself begins or ends."""
    try:
        if len(text) == len("2020-02-28"):
            return (date.fromisoformat(text) + timedelta(days=step)).isoformat()
        year, month = int(text[:4]), int(text[5:] or 1) - 1
        months = year * 12 + month + step * (1 if len(text) > 4 else 12)
        return date(months // 12, months % 12 + 1, 1).isoformat()[: len(text)]
    except (ValueError, OverflowError):
        return None


def _condition(context: Context, resource_type: str, name: str, value: str) -> Condition:
    """Return what a search parameter asks."""
    timezone = context.services.settings.default_timezone
    query = parse((resource_type,), [(name, value)], strict=True, timezone=timezone, base_url=context.base_url)
    return query.condition(resource_type)
