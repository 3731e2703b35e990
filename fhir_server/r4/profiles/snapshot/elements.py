"""Merging what a differential says of one element into what its base says.

https://hl7.org/fhir/R4/elementdefinition.html#interpretation
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

_TEXTS = frozenset({"short", "definition", "comment", "requirements", "label"})
_IDENTITY = frozenset({"id", "path", "base"})
_KEYS = {"alias": None, "condition": None, "constraint": "key", "mapping": None, "example": None}
"""Lists that grow: by what their members are told apart, None for the whole."""


def merge_element(base: Json, differential: Json) -> Json:
    """Return an element with everything that the differential says, and the base where it is silent."""
    merged = dict(base)
    for name, value in differential.items():
        if name in _IDENTITY:
            continue
        if name in _TEXTS and isinstance(value, str) and value.startswith("..."):
            merged[name] = f"{base.get(name, '')}\r\n{value[3:]}" if name in base else value[3:]
        elif name in _KEYS:
            merged[name] = _grown(base.get(name) or [], value, _KEYS[name])
        elif name == "binding":
            merged[name] = value
        elif name == "extension":
            merged[name] = _grown(base.get(name) or [], value, "url")
        else:
            _replace_choice(merged, name)
            merged[name] = value
    return merged


def _grown(before: list[Any], more: list[Any], key: str | None) -> list[Any]:
    """Return the members of both lists; a later one takes the place of one with the same key."""
    grown = list(before)
    for each in more:
        same = [index for index, other in enumerate(grown) if _is_same(other, each, key)]
        if same:
            grown[same[0]] = each
        else:
            grown.append(each)
    return grown


def _is_same(one: Any, other: Any, key: str | None) -> bool:
    if key is None:
        return bool(one == other)
    return isinstance(one, dict) and isinstance(other, dict) and one.get(key) == other.get(key)


_CHOICES = ("fixed", "pattern", "defaultValue", "minValue", "maxValue")


def _replace_choice(merged: Json, name: str) -> None:
    """Take out the value of another type that a choice such as `fixed[x]` had."""
    for choice in _CHOICES:
        if name.startswith(choice) and name[len(choice) :][:1].isupper():
            for other in [each for each in merged if each.startswith(choice) and each[len(choice) :][:1].isupper()]:
                del merged[other]


def fixed_value(element: Json, kind: str) -> tuple[str, Any] | None:
    """Return the type and value of `fixed[x]`, `pattern[x]`, `minValue[x]`, ...; None where the element has none."""
    for name, value in element.items():
        if name.startswith(kind) and name[len(kind) :][:1].isupper():
            return name[len(kind) :], value
    return None
