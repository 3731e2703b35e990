"""UCUM: units by their grammar. https://ucum.org/ucum

The grammar is handed in: a server that converts quantities has it already.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from terminology.model.concepts import CodeSystemInfo, Concept, Property, PropertyDefinition
from terminology.systems.grammar import GrammarCodeSystem, named

URL = "http://unitsofmeasure.org"
_LONGEST = 200


class Ucum(GrammarCodeSystem):
    """The code system of units.

    `is_unit` tells whether a text is a unit; `canonical_unit` gives the unit that it comes down to, None where it has
    none: value sets select units by it, with the filter `canonical = m`.
    """

    def __init__(
        self, is_unit: Callable[[str], bool], canonical_unit: Callable[[str], str | None] = lambda code: None
    ) -> None:
        self._is_unit = is_unit
        self._canonical_unit = canonical_unit
        super().__init__(
            CodeSystemInfo(
                URL,
                name="UCUM",
                title="Unified Code for Units of Measure",
                status="active",
                language="en",
                case_sensitive=True,
                compositional=True,
                properties=(PropertyDefinition("canonical", None, "code"),),
                closed=False,
                enumerable=False,
            )
        )

    def concept(self, code: str) -> Concept | None:
        """Return the concept of a unit, None for what is none."""
        if not code or len(code) > _LONGEST or not self._is_unit(code):
            return None
        canonical = self._canonical_unit(code)
        unit = (Property("canonical", "code", canonical),) if canonical else ()
        return replace(named(code, code), properties=unit)
