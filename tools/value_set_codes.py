"""Enumerate the value sets behind required bindings.

https://hl7.org/fhir/R4/valueset.html#compositions
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

Json = dict[str, Any]
Coding = tuple[str, str]


class ValueSets:
    """The package's value sets, and which of them the element tables use."""

    def __init__(self, value_sets: list[Json], code_systems: list[Json]) -> None:
        self._value_sets = {each["url"]: each for each in value_sets}
        self._systems = {each["url"]: each for each in code_systems}
        self._used: dict[str, list[str] | None] = {}
        self._used_systems: dict[str, dict[str, list[str]]] = {}

    def use(self, canonical: str, *, with_system: bool) -> str:
        """Return the name of a value set, whose codes `used` will list if the package can enumerate them.

        With `with_system` the codes are written `system|code`, for a binding on a CodeableConcept.
        """
        name = canonical.partition("|")[0].rpartition("/")[2] + ("|" if with_system else "")
        if name not in self._used:
            codings = self._codings(canonical)
            written = {f"{system}|{code}" if with_system else code for system, code in codings or ()}
            self._used[name] = None if codings is None else sorted(written)
            if codings is not None and not with_system:
                self._used_systems[name] = _by_system(codings)
        return name

    def used(self) -> dict[str, list[str]]:
        """Return the enumerated codes by key."""
        return {name: codes for name, codes in sorted(self._used.items()) if codes is not None}

    def systems(self) -> dict[str, dict[str, list[str]]]:
        """Return the systems of the enumerated codes that elements of type code have, by key; all codes as an empty
        list.
        """
        return dict(sorted(self._used_systems.items()))

    def _codings(self, canonical: str) -> set[Coding] | None:
        value_set = self._value_sets.get(canonical.partition("|")[0])
        if value_set is None:
            return None
        codings: set[Coding] = set()
        for include in value_set["compose"].get("include", ()):
            included = self._included(include)
            if included is None:
                return None
            codings |= included
        for exclude in value_set["compose"].get("exclude", ()):
            codings -= self._included(exclude) or set()
        return codings

    def _included(self, include: Json) -> set[Coding] | None:
        parts = [self._codings(canonical) for canonical in include.get("valueSet", ())]
        if "system" in include:
            parts.append(self._of_system(include))
        result: set[Coding] | None = None
        for part in parts:
            if part is None:
                return None
            result = part if result is None else result & part
        return result

    def _of_system(self, include: Json) -> set[Coding] | None:
        system = include["system"]
        if "filter" in include:
            raise SystemExit(f"A filter on {system} is behind a required binding; this compiler does not know filters.")
        if "concept" in include:
            return {(system, concept["code"]) for concept in include["concept"]}
        definition = self._systems.get(system)
        if definition is None or definition["content"] != "complete":
            return None
        return {(system, code) for code in _codes(definition.get("concept", ()))}


def _by_system(codings: set[Coding]) -> dict[str, list[str]]:
    systems = sorted({system for system, _ in codings})
    if len(systems) == 1:
        return {systems[0]: []}
    return {system: sorted(code for other, code in codings if other == system) for system in systems}


def _codes(concepts: Iterable[Json]) -> Iterator[str]:
    for concept in concepts:
        yield concept["code"]
        yield from _codes(concept.get("concept", ()))
