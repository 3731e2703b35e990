"""UCUM units in their canonical form."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
import ucumvert

from fhir_server.r4.ucum import canonical

UNITS = [
    "kg", "mg", "g/dL", "mm[Hg]", "kg/m2", "10*3/uL", "10*9/L", "%", "/min", "{beats}/min", "ug/(24.h)", "cm2",
    "[in_i]", "[lb_av]", "m[H2O]", "mL/min/{1.73_m2}", "a", "wk", "J", "daL", "2.g", "mL/(8.h.kg)", "[degR]", "m/s2",
    "[ft_i].[lbf_av]", "eV", "10^6", "bar", "Hz",
]  # fmt: skip


@pytest.fixture(scope="module")
def oracle() -> ucumvert.PintUcumRegistry:
    """Another reading of UCUM."""
    return ucumvert.PintUcumRegistry()


@pytest.mark.parametrize("code", UNITS)
def test_a_unit_is_as_much_as_another_reading_of_ucum_says(code: str, oracle: ucumvert.PintUcumRegistry) -> None:
    """The amount in base units is the one that an independent library finds."""
    result = canonical(code)
    assert result is not None
    expected = (1 * oracle.from_ucum(code)).to_base_units()
    ours = (1 * oracle.from_ucum(result.unit)).to_base_units()
    assert float(result.factor) * ours.magnitude == pytest.approx(expected.magnitude, rel=1e-5)
    assert ours.units == expected.units


@pytest.mark.parametrize(
    ("amount", "code", "other", "unit"),
    [("0.01", "kg", "10", "g"), ("37", "Cel", "98.6", "[degF]"), ("1", "L", "1000", "cm3"), ("5", "%", "0.05", "1")],
)
def test_equal_amounts_are_equal(amount: str, code: str, other: str, unit: str) -> None:
    """Amounts that are the same in different units are the same number of the same canonical unit."""
    first, second = canonical(code), canonical(unit)
    assert first is not None
    assert second is not None
    assert first.unit == second.unit
    assert first.convert(Decimal(amount)) == second.convert(Decimal(other))


def test_a_mole_is_a_number() -> None:
    """UCUM counts in moles as in dozens: what is measured per litre is comparable, however it is counted."""
    items = [canonical(code) for code in ("mmol/L", "10*20/L", "/L")]
    assert {each.unit for each in items if each is not None} == {"m-3"}


def test_units_that_measure_different_things_differ() -> None:
    """Mass is not length, and an arbitrary unit is comparable with itself only."""
    units = [canonical(code) for code in ("g", "m", "[iU]", "[arb'U]", "s")]
    assert len({each.unit for each in units if each is not None}) == 5


@pytest.mark.parametrize(
    "code",
    ["", "/", "kg.", "foo", "[pH]", "dB", "(mg", "mg)", "Cel/m", "kg m", "µg", "((" * 200, "x" * 500, "m" + "9" * 50],
)
def test_what_has_no_linear_scale_has_no_canonical_form(code: str) -> None:
    """What UCUM does not define, or measures by a logarithm, is compared as it is written."""
    assert canonical(code) is None


def test_conversion_is_exact() -> None:
    """No binary fraction comes between: a thousandth is a thousandth."""
    result = canonical("mg")
    assert result is not None
    assert result.factor == Fraction(1, 1000)
