"""What a `_filter` asks of a resource, in the same conditions as any search parameter.
https://hl7.org/fhir/R4/search_filter.html
"""

from __future__ import annotations

from fhir_server.errors import BadRequest
from fhir_server.search.index.keys import SEPARATOR, after_prefix
from fhir_server.search.params import dates
from fhir_server.search.params.reading import Scope
from fhir_server.search.params.strings import fold
from fhir_server.search.query.conditions import Condition, KeySpan, Not, either, every
from fhir_server.search.query.criteria import (
    UnknownParameter,
    chain_targets,
    chained,
    condition,
    key_names,
    reference_parameter,
)
from fhir_server.search.query.filter_expression import Comparison, Expression, Joined, Negated, Step, parse_filter
from fhir_server.search.query.values import escape
from fhir_server.search.registry import parameters

_ORDERED = frozenset({"gt", "lt", "ge", "le", "ap", "sa", "eb"})
_WITH_PREFIX = frozenset({"date", "number", "quantity", "_lastUpdated"})
_MODIFIED = {"in": "in", "ni": "not-in", "ss": "above", "sb": "below"}


def filter_condition(resource_type: str, text: str, scope: Scope) -> Condition:
    """Return the condition of a filter; raises BadRequest, also for a parameter that the type does not have."""
    try:
        return _condition(resource_type, parse_filter(text), scope)
    except ValueError as error:
        raise BadRequest(f"_filter cannot be read: {error}.", code="value") from error
    except UnknownParameter as error:
        # Half a filter would mean something else, so nothing of it is left out.
        raise BadRequest(f"_filter: {error}", code="not-supported") from error


def _condition(resource_type: str, expression: Expression, scope: Scope) -> Condition:
    match expression:
        case Joined(operator, parts):
            conditions = [_condition(resource_type, part, scope) for part in parts]
            return every(conditions) if operator == "and" else either(conditions)
        case Negated(inner):
            return Not(_condition(resource_type, inner, scope))
        case Comparison(path):
            return _along(resource_type, path, expression, scope)


def _along(resource_type: str, path: tuple[Step, ...], comparison: Comparison, scope: Scope) -> Condition:
    first, *rest = path
    if not rest:
        return _compared(resource_type, first.name, comparison, scope)
    code, _, qualifier = first.name.partition(":")
    parameter = reference_parameter(resource_type, code)
    conditions: dict[str, Condition] = {}
    for target in chain_targets(parameter, qualifier or None):
        try:
            inner = [_along(target, tuple(rest), comparison, scope)]
            if first.condition is not None:
                inner.append(_condition(target, first.condition, scope))
        except UnknownParameter:
            continue
        conditions[target] = every(inner)
    if not conditions:
        raise UnknownParameter(f"no type that {resource_type}.{code} refers to has a parameter {rest[0].name[:80]!r}.")
    return chained(resource_type, parameter, conditions)


def _compared(resource_type: str, name: str, comparison: Comparison, scope: Scope) -> Condition:
    kind = _kind(resource_type, name)
    operator, value = comparison.operator, comparison.value
    if operator == "ne":
        equal = Comparison(comparison.path, "eq", value, comparison.quoted)
        return Not(_compared(resource_type, name, equal, scope))
    if operator == "pr":
        return condition(resource_type, f"{name}:missing", _opposite(value), scope)
    if operator in _MODIFIED and kind == "token":
        return condition(resource_type, f"{name}:{_MODIFIED[operator]}", _plain(value, kind), scope)
    if operator in {"eq", "re"} or (operator in _ORDERED and kind in _WITH_PREFIX):
        return _equal_or_ordered(resource_type, name, kind, comparison, scope)
    if kind == "string" and operator in {"co", "sw", "ew"}:
        return _part_of_text(resource_type, name, operator, value, scope)
    if kind == "date" and operator == "po":
        return either([dates.overlapping(key, value, scope.timezone) for key in _names(resource_type, name)])
    raise BadRequest(
        f"_filter: {operator!r} does not compare the {kind} parameter {name[:80]!r}.", code="not-supported"
    )


def _kind(resource_type: str, name: str) -> str:
    if name in {"_id", "_lastUpdated"}:
        return name
    parameter = parameters(resource_type).get(name)
    if parameter is None:
        raise UnknownParameter(f"{resource_type} has no search parameter {name[:80]!r}.")
    return parameter.type


def _opposite(value: str) -> str:
    if value not in {"true", "false"}:
        raise ValueError("pr takes true or false")
    return "false" if value == "true" else "true"


def _equal_or_ordered(resource_type: str, name: str, kind: str, comparison: Comparison, scope: Scope) -> Condition:
    operator, value = comparison.operator, comparison.value
    if operator == "re" and kind != "reference":
        raise BadRequest(f"_filter: 're' compares references, and {name[:80]!r} is none.", code="not-supported")
    if kind == "string":
        return _texts(resource_type, name, f"{fold(value)}{SEPARATOR}", anywhere=False)
    prefix = (operator if operator in _ORDERED else "eq") if kind in _WITH_PREFIX else ""
    return condition(resource_type, name, prefix + _plain(value, kind), scope)


def _plain(value: str, kind: str) -> str:
    """Return the value with its commas escaped, as a filter has no lists; a bar keeps its meaning for tokens and
    quantities.
    """
    escaped = escape(value)
    return escaped.replace("\\|", "|") if kind in {"token", "quantity"} else escaped


def _part_of_text(resource_type: str, name: str, operator: str, value: str, scope: Scope) -> Condition:
    if operator == "ew":
        return _texts(resource_type, name, f"{fold(value)}{SEPARATOR}", anywhere=True)
    modified = f"{name}:contains" if operator == "co" else name
    return condition(resource_type, modified, escape(value), scope)


def _names(resource_type: str, name: str) -> tuple[str, ...]:
    return key_names(resource_type, parameters(resource_type)[name])


def _texts(resource_type: str, name: str, folded: str, *, anywhere: bool) -> Condition:
    """Return the condition that a text is, or (`anywhere`) ends in, a folded one with the end mark behind it."""
    keys = [f"{key}=" for key in _names(resource_type, name)]
    if anywhere:
        return either([KeySpan(key, after_prefix(key), folded) for key in keys])
    return either([KeySpan(key + folded, after_prefix(key + folded)) for key in keys])
