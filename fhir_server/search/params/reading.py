"""From one search value to a condition, whatever the parameter's type: the modifiers that each type takes, and the
parts of its values.

https://hl7.org/fhir/R4/search.html#modifiers
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from fhir_server.errors import BadRequest, TooLarge
from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.search.index.element_paths import implicit_systems
from fhir_server.search.index.index_plan import keeps_tuples
from fhir_server.search.params import (
    composites,
    dates,
    numbers,
    positions,
    quantities,
    references,
    strings,
    tokens,
    uris,
)
from fhir_server.search.query.conditions import Concepts, Condition, either, every
from fhir_server.search.query.values import split, unescape
from fhir_server.search.registry import Parameter, parameters

MODIFIERS: dict[str, frozenset[str]] = {
    "string": frozenset({"exact", "contains"}),
    "token": frozenset({"text", "not", "in", "not-in", "above", "below", "of-type"}),
    "reference": frozenset({"identifier", "above", "below"}),
    "uri": frozenset({"above", "below"}),
    "date": frozenset(),
    "number": frozenset(),
    "quantity": frozenset(),
    "composite": frozenset(),
    "special": frozenset(),
}
"""The modifiers that R4 allows for each type, beside `missing`, which all take, and the type names of references."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a value's meaning depends on: the zone of times without an offset, the time now, the server's base URL."""

    timezone: str
    now: datetime
    base_url: str
    _counted: list[int] = field(default_factory=lambda: [0], compare=False)

    def count(self) -> None:
        """Count a condition; raises TooLarge where a search has too many, as a chain through many types makes."""
        self._counted[0] += 1
        if self._counted[0] > _MOST_CONDITIONS:
            raise TooLarge(
                f"The search comes to more than {_MOST_CONDITIONS} conditions: a chain asks every type that it can "
                "lead to, unless it names one (subject:Patient.name).",
                code="too-costly",
            )


_MOST_CONDITIONS = 5000


def read(parameter: Parameter, resource_type: str, modifier: str | None, value: str, scope: Scope) -> Condition:
    """Return what one value (with its escapes) asks; raises ValueError where it cannot be read."""
    if parameter.parts:
        return _through_parts(parameter, resource_type, modifier, value, scope)
    return read_as(parameter, parameter.code, resource_type, modifier, value, scope)


def _through_parts(
    parameter: Parameter, resource_type: str, modifier: str | None, value: str, scope: Scope
) -> Condition:
    by_code = parameters(resource_type)
    if parameter.only is None:
        return either([read(by_code[part], resource_type, modifier, value, scope) for part in parameter.parts])
    if modifier == "identifier":
        return read_as(parameter, parameter.code, resource_type, modifier, value, scope)
    if modifier in RESOURCE_TYPES and modifier != parameter.only:
        return either([])
    # The parameter proper allows one type only, whatever its definition says of targets.
    restricted = replace(parameter, target=(parameter.only,))
    name = unescape(value)
    if "/" in name and not name.startswith((f"{parameter.only}/", "urn:")) and f"/{parameter.only}/" not in name:
        return either([])
    return read_as(restricted, parameter.parts[0], resource_type, modifier, value, scope)


def read_as(  # noqa: PLR0917 - a parameter, and a value with what it depends on
    parameter: Parameter, name: str, resource_type: str, modifier: str | None, value: str, scope: Scope
) -> Condition:
    """Return what a value asks of the facts indexed under `name`."""
    match parameter.type:
        case "string":
            text = unescape(value)
            return (
                strings.condition_phonetic(name, text)
                if parameter.phonetic
                else strings.condition(name, modifier, text)
            )
        case "token":
            return _token(name, modifier, value, implicit_systems(parameter.branches))
        case "reference":
            return _reference(parameter, name, modifier, value, scope)
        case "date":
            return dates.condition(name, unescape(value), scope.timezone, scope.now)
        case "number":
            return numbers.condition(name, unescape(value))
        case "quantity":
            return quantities.condition(name, *map(unescape, split(value, "|", 2)))
        case "uri":
            return uris.condition(name, modifier, unescape(value))
        case "special":
            return positions.condition(name, [unescape(part) for part in split(value, "|")])
        case "composite":
            return _composite(parameter, name, resource_type, value, scope)
    raise BadRequest(f"{parameter.code} cannot be searched.", code="not-supported")


def _token(name: str, modifier: str | None, value: str, systems: Mapping[str, str] | None = None) -> Condition:
    if modifier == "text":
        return tokens.text_condition(name, unescape(value))
    if modifier in {"in", "above", "below"}:
        return _concepts(name, modifier, unescape(value))
    parts = [unescape(part) for part in split(value, "|", 2 if modifier == "of-type" else 1)]
    if modifier == "of-type":
        if len(parts) != 3 or not all(parts):
            raise ValueError("of-type takes system|code|value")
        return tokens.of_type_condition(name, *parts)
    if len(parts) == 1:
        return tokens.condition(name, None, parts[0])
    if parts == ["", ""]:
        raise ValueError("a bar needs a system or a code beside it")
    return tokens.condition(name, parts[0], parts[1], systems or {})


def _concepts(name: str, relation: str, value: str) -> Condition:
    if relation == "in":
        return Concepts(name, "in", value)
    system, bar, code = value.partition("|")
    if not (bar and system and code):
        raise ValueError(f"{relation} takes system|code")
    return Concepts(name, "above" if relation == "above" else "below", value)


def _reference(parameter: Parameter, name: str, modifier: str | None, value: str, scope: Scope) -> Condition:
    if modifier == "identifier":
        return _token(f"{name}:identifier", None, value)
    text = unescape(value)
    targets = parameter.target or tuple(sorted(RESOURCE_TYPES))
    if modifier in {"above", "below"}:
        return references.hierarchy(name, modifier, text, targets, scope.base_url)
    if modifier in RESOURCE_TYPES:
        if "/" in text and not text.startswith(f"{modifier}/") and f"/{modifier}/" not in text:
            return either([])
        return references.condition(name, text, (modifier,), scope.base_url)
    return references.condition(name, text, targets, scope.base_url)


def _composite(parameter: Parameter, name: str, resource_type: str, value: str, scope: Scope) -> Condition:
    values = split(value, "$")
    if len(values) != len(parameter.components):
        raise ValueError(f"it takes {len(parameter.components)} values joined by $")
    named = zip(composites.PART_NAMES, parameter.components, values, strict=False)
    parts = [read_as(part.parameter, letter, resource_type, None, one, scope) for letter, part, one in named]
    tuples = keeps_tuples(parameter, resource_type)
    own: list[Condition] = []
    if not tuples:
        by_code = parameters(resource_type)
        pairs = zip(parameter.components, values, strict=True)
        own = [read(by_code[part.parameter.code], resource_type, None, one, scope) for part, one in pairs]
    return composites.condition(name, parts, tuples=tuples, own=every(own))
