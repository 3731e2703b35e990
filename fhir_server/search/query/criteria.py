"""From a search parameter in a URL, with its modifiers and chains, to the condition it sets for a resource type.

https://hl7.org/fhir/R4/search.html#modifiers, https://hl7.org/fhir/R4/search.html#chaining,
https://hl7.org/fhir/R4/search.html#has
"""

from __future__ import annotations

from collections.abc import Mapping

from fhir_server.errors import BadRequest, TooLarge
from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.search.contained_chains import contained_chain
from fhir_server.search.index.element_paths import leads_to_canonical
from fhir_server.search.index.embedded import inner_condition, is_embedded
from fhir_server.search.params import special
from fhir_server.search.params.reading import MODIFIERS, Scope, read
from fhir_server.search.params.references import is_canonical_resource
from fhir_server.search.query.conditions import NOTHING, AnyOf, Condition, Not, Present, ReferredBy, RefersTo, either
from fhir_server.search.query.values import split
from fhir_server.search.registry import Parameter, parameters
from fhir_server.work.budget import spend

_LONGEST_CHAIN = 10
_MOST_EQUAL, _MOST_VALUES = 10_000, 500
"""Values of a parameter, where the index has them as they are, and where each is a search of its own."""
_EQUAL = frozenset({"token", "reference", "uri"})
_STEPS = 30
"""What reading a value counts for."""
_NEGATED = {"not": None, "not-in": "in"}


class UnknownParameter(Exception):
    """A search parameter that the resource type does not have: what lenient handling leaves out."""


def condition(resource_type: str, name: str, value: str, scope: Scope, depth: int = 0) -> Condition:
    """Return what `name=value` asks of a resource of the type.

    Raises UnknownParameter, or BadRequest for a modifier that is not allowed and for a value that cannot be read.
    """
    scope.count()
    if depth > _LONGEST_CHAIN:
        raise BadRequest(f"A chain has at most {_LONGEST_CHAIN} steps.", code="too-costly")
    if name.startswith("_has:"):
        return _reverse_chain(resource_type, name, value, scope, depth)
    head, dot, rest = name.partition(".")
    code, colon, modifier = head.partition(":")
    if dot:
        return _chain(resource_type, code, modifier if colon else None, rest, value, scope, depth)
    if code in special.NAMES:
        return special.condition(resource_type, code, modifier if colon else None, value, scope)
    parameter = parameters(resource_type).get(code)
    if parameter is None:
        raise UnknownParameter(f"{resource_type} has no search parameter {code[:80]!r}.")
    return simple(parameter, resource_type, modifier if colon else None, value, scope)


def simple(parameter: Parameter, resource_type: str, modifier: str | None, value: str, scope: Scope) -> Condition:
    """Return the condition of a parameter without a chain: any of the values that commas separate."""
    if modifier == "missing":
        return missing(parameter.code, value)
    _require_modifier(parameter, modifier)
    negated = modifier in _NEGATED
    plain = _NEGATED.get(modifier or "", modifier)
    values = dict.fromkeys(split(value, ","))
    limit = _MOST_EQUAL if parameter.type in _EQUAL and modifier != "text" else _MOST_VALUES
    if len(values) > limit:
        raise TooLarge(f"{parameter.code} takes at most {limit} values, separated by commas.", code="too-costly")
    spend(_STEPS * len(values))
    conditions = [_one(parameter, resource_type, plain, one, scope) for one in values]
    return Not(either(conditions)) if negated else either(conditions)


def missing(name: str, value: str) -> Condition:
    """Return the condition of `:missing`."""
    if value not in ("true", "false"):
        raise BadRequest(f"{name}:missing is true or false, not {value[:40]!r}.", code="value")
    return Not(Present(name)) if value == "true" else Present(name)


def _require_modifier(parameter: Parameter, modifier: str | None) -> None:
    if modifier is None or modifier in MODIFIERS[parameter.type]:
        return
    if parameter.type == "reference" and modifier in RESOURCE_TYPES:
        return
    raise BadRequest(
        f"The modifier {modifier[:40]!r} is not one that the {parameter.type} parameter {parameter.code!r} takes.",
        code="not-supported",
    )


def _one(parameter: Parameter, resource_type: str, modifier: str | None, value: str, scope: Scope) -> Condition:
    if value == "":
        raise BadRequest(f"{parameter.code}: an empty value stands between commas.", code="value")
    try:
        return read(parameter, resource_type, modifier, value, scope)
    except ValueError as error:
        raise BadRequest(
            f"The value {value[:80]!r} of {parameter.code!r} cannot be read as a {parameter.type}: {error}.",
            code="value",
        ) from error


# --- Chains ------------------------------------------------------------------------------------------------------


def _chain(  # noqa: PLR0917 - a chain has this many parts
    resource_type: str, code: str, qualifier: str | None, rest: str, value: str, scope: Scope, depth: int
) -> Condition:
    parameter = reference_parameter(resource_type, code)
    targets = chain_targets(parameter, qualifier)
    conditions: dict[str, Condition] = {}
    for target in targets:
        try:
            conditions[target] = condition(target, rest, value, scope, depth + 1)
        except UnknownParameter:
            continue
    if not conditions:
        raise UnknownParameter(f"No type that {resource_type}.{code} refers to has a search parameter {rest[:80]!r}.")
    return chained(resource_type, parameter, conditions)


def chained(resource_type: str, parameter: Parameter, conditions: Mapping[str, Condition]) -> Condition:
    """Return the condition that the parameter leads to a resource that meets the condition for its type."""
    if parameter.only:  # its values stand among those of a parameter that leads to more types
        conditions = {target: inner for target, inner in conditions.items() if target == parameter.only}
    if not conditions:
        return NOTHING
    if is_embedded(parameter):
        return _any_of([inner_condition(parameter.code, target, inner) for target, inner in conditions.items()])
    canonical = is_canonical(parameter)
    return _any_of(
        [
            RefersTo(name, conditions, canonical, contained_chain(name, conditions))
            for name in key_names(resource_type, parameter)
        ]
    )


def chain_targets(parameter: Parameter, qualifier: str | None) -> tuple[str, ...]:
    """Return the types that a chain through the parameter leads to."""
    allowed = (parameter.only,) if parameter.only else parameter.target or tuple(sorted(RESOURCE_TYPES))
    if qualifier is None:
        return tuple(filter(is_canonical_resource, allowed)) if is_canonical(parameter) else allowed
    if qualifier not in RESOURCE_TYPES:
        raise BadRequest(f"{parameter.code}:{qualifier[:40]} does not name a resource type.", code="not-supported")
    return (qualifier,)


def is_canonical(parameter: Parameter) -> bool:
    """Return whether the parameter's references are canonical URLs."""
    return leads_to_canonical(parameter.branches)


def _reverse_chain(resource_type: str, name: str, value: str, scope: Scope, depth: int) -> Condition:
    parts = name.split(":", 3)
    if len(parts) < 4 or not all(parts):
        raise BadRequest(f"{name[:80]!r} is not _has:Type:reference:parameter.")
    _, source, code, rest = parts
    if source not in RESOURCE_TYPES:
        raise UnknownParameter(f"{source[:80]!r} is not a resource type of FHIR R4.")
    parameter = reference_parameter(source, code)
    inner = condition(source, rest, value, scope, depth + 1)
    if parameter.only not in (None, resource_type):
        return NOTHING
    canonical = is_canonical(parameter)
    return _any_of([ReferredBy(source, key, inner, resource_type, canonical) for key in key_names(source, parameter)])


def reference_parameter(resource_type: str, code: str) -> Parameter:
    """Return the reference parameter of that code; raises UnknownParameter or BadRequest."""
    parameter = parameters(resource_type).get(code)
    if parameter is None:
        raise UnknownParameter(f"{resource_type} has no search parameter {code[:80]!r}.")
    if parameter.type != "reference":
        raise BadRequest(
            f"{code!r} is a {parameter.type} parameter, and a chain needs a reference.", code="not-supported"
        )
    return parameter


def key_names(resource_type: str, parameter: Parameter) -> tuple[str, ...]:
    """Return the names under which the parameter's values stand in the index."""
    if not parameter.parts:
        return (parameter.code,)
    by_code = parameters(resource_type)
    return tuple(name for part in parameter.parts for name in key_names(resource_type, by_code[part]))


def _any_of(conditions: list[Condition]) -> Condition:
    if not conditions:
        return NOTHING
    return conditions[0] if len(conditions) == 1 else AnyOf(tuple(conditions))
