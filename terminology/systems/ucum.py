"""UCUM: units by their grammar. https://ucum.org/ucum

The grammar is handed in: a server that converts quantities has it already.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from terminology.content.provider import Filter
from terminology.model.concepts import CodeSystemInfo, Concept, Property, PropertyDefinition
from terminology.systems.grammar import GrammarCodeSystem, named

URL = "http://unitsofmeasure.org"
_LONGEST = 200
COMMON_UNITS = (
    *("%", "1", "[pH]", "{score}", "/min", "/L", "/uL", "10*3/uL", "10*6/uL", "10*9/L", "10*12/L"),
    *("kg", "g", "mg", "ug", "ng", "pg", "[lb_av]", "[oz_av]"),
    *("m", "dm", "cm", "mm", "um", "nm", "km", "[in_i]", "[ft_i]", "[mi_i]", "m2", "cm2", "m3"),
    *("L", "dL", "mL", "uL", "fL"),
    *("s", "ms", "min", "h", "d", "wk", "mo", "a"),
    *("mol", "mmol", "umol", "nmol", "pmol", "mmol/L", "umol/L", "nmol/L", "pmol/L", "mmol/mol"),
    *("g/L", "g/dL", "mg/dL", "mg/L", "ug/L", "ug/dL", "ng/mL", "ng/dL", "ng/L", "pg/mL", "mg/g", "mg/kg"),
    *("U/L", "[IU]/L", "[IU]/mL", "m[IU]/L", "[IU]", "kat", "ukat/L"),
    *("mm[Hg]", "kPa", "Pa", "cm[H2O]", "Cel", "[degF]", "K", "V", "mV", "W", "J", "kcal", "Hz", "Bq", "Gy", "Sv"),
    *("kg/m2", "mL/min", "mL/min/{1.73_m2}", "L/min", "mg/h", "mL/h", "mg/kg/d", "osm/kg", "mosm/kg", "meq/L"),
)


class Ucum(GrammarCodeSystem):
    """The code system of units.

    `is_unit` tells whether a text is a unit; `canonical_unit` gives the unit that it comes down to, None where it has
    none: value sets select units by it, with the filter `canonical = m`. `common` are those that an expansion lists.
    """

    def __init__(
        self,
        is_unit: Callable[[str], bool],
        canonical_unit: Callable[[str], str | None] = lambda code: None,
        common: Sequence[str] = COMMON_UNITS,
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
            ),
            common,
        )

    def concept(self, code: str) -> Concept | None:
        """Return the concept of a unit, None for what is none."""
        if not code or len(code) > _LONGEST or not self._is_unit(code):
            return None
        canonical = self._canonical_unit(code)
        unit = (Property("canonical", "code", canonical),) if canonical else ()
        return replace(named(code, code), properties=unit)

    def _test(self, condition: Filter) -> Callable[[Concept], bool]:
        """Return the test of a filter; `canonical = a`, as R4 has it, means all that comes down to what a year does."""
        if condition.property == "canonical" and condition.op == "=":
            condition = replace(condition, value=self._canonical_unit(condition.value) or condition.value)
        return super()._test(condition)
