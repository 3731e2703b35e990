"""UCUM units as one canonical unit and a conversion, so that 0.01 kg equals 10 g. https://ucum.org/ucum

The definitions in `data/ucum.json` are made by `tools/compile_ucum.py` and decoded at their first use.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

import msgspec

SYSTEM = "http://unitsofmeasure.org"
_LONGEST = 200
_DEEPEST = 20
_LARGEST_EXPONENT = 99
_ROUNDED = Context(prec=20)

# The functions of special units that only move the zero, with what is added to an amount before it is scaled.
_ZEROS = {"Cel": Fraction("273.15"), "degF": Fraction("459.67"), "degRe": Fraction("218.52")}
_SCALES = {"degRe": Fraction(5, 4)}

Dimensions = dict[str, int]


@dataclass(frozen=True, slots=True)
class Canonical:
    """A canonical unit, and how an amount in another becomes one in it: plus `zero`, times `factor`."""

    unit: str
    factor: Fraction
    zero: Fraction

    def convert(self, amount: Decimal) -> Decimal:
        """Return the amount in the canonical unit, to 20 significant digits."""
        return _converted(self, amount)


@lru_cache(maxsize=16384)
def _converted(canonical: Canonical, amount: Decimal) -> Decimal:
    exact = (Fraction(amount) + canonical.zero) * canonical.factor
    return _ROUNDED.divide(Decimal(exact.numerator), Decimal(exact.denominator))


@lru_cache(maxsize=4096)
def canonical(code: str) -> Canonical | None:
    """Return the canonical form of a unit, None for what is no UCUM unit, or one whose scale is not linear (pH,
    decibel).
    """
    if len(code) > _LONGEST or not code.isascii():
        return None
    try:
        special = _special(code)
        if special is not None:
            return special
        factor, dimensions = _Parser(code).whole()
    except (ValueError, ZeroDivisionError):
        return None
    return Canonical(_name(dimensions), factor, Fraction(0))


@lru_cache(maxsize=4096)
def is_unit(code: str) -> bool:
    """Return whether the code is a UCUM unit, also one without a linear scale such as `[pH]`; True for one too long to
    look at.
    """
    if len(code) > _LONGEST:
        return True
    if not code.isascii():
        return False
    try:
        _Parser(code, every_scale=True).whole()
    except (ValueError, ZeroDivisionError):
        return False
    return True


def _name(dimensions: Dimensions) -> str:
    powers = sorted((base, power) for base, power in dimensions.items() if power)
    return ".".join(base if power == 1 else f"{base}{power}" for base, power in powers) or "1"


@cache
def _definitions() -> dict[str, Any]:
    decoded: dict[str, Any] = msgspec.json.decode(files("fhir_server.r4").joinpath("data", "ucum.json").read_bytes())
    return decoded


def _special(code: str) -> Canonical | None:
    # A special unit stands alone: "Cel/m" has no meaning, but "mCel" has.
    scale, atom = _split(code)
    definition = _definitions()["units"].get(atom)
    if definition is None or len(definition) < 4:
        return None
    _, value, unit, function = definition
    if function not in _ZEROS:
        raise ValueError(f"{code} has no linear scale")
    factor, dimensions = _Parser(unit).whole()
    degree = Fraction(value) * factor * _SCALES.get(function, Fraction(1)) * scale
    return Canonical(_name(dimensions), degree, _ZEROS[function] / scale)


def _split(simple: str) -> tuple[Fraction, str]:
    """Return the factor of a unit's prefix, and the unit without it."""
    definitions = _definitions()
    units, base = definitions["units"], definitions["base"]
    if simple in units or simple in base:
        return Fraction(1), simple
    for length in (1, 2):
        atom = simple[length:]
        if simple[:length] in definitions["prefixes"] and (atom in base or (atom in units and units[atom][0])):
            return Fraction(definitions["prefixes"][simple[:length]]), atom
    return Fraction(1), simple


# --- Expressions -------------------------------------------------------------------------------------------------

# A unit with its exponent: brackets hold anything, and "10*" and "10^" are units whose name is made of digits.
_COMPONENT = re.compile(r"(10[*^]|\d+(?![^./(){}])|(?:\[[^\]]*\]|[^./(){}\[\]\d+-]|\d+(?=[^./(){}\d+-]))+)([+-]?\d+)?")
_ANNOTATION = re.compile(r"\{[^{}]*\}")


class _Parser:
    """A recursive descent over a unit expression; raises ValueError for what is none.

    With `every_scale` the units without a linear scale are units too; the factor then means nothing.
    """

    def __init__(self, text: str, *, every_scale: bool = False) -> None:
        self.text = text
        self.every_scale = every_scale
        self.position = 0
        self.depth = 0

    def whole(self) -> tuple[Fraction, Dimensions]:
        """Return the factor and dimensions of the whole text."""
        value = self.term()
        if self.position != len(self.text):
            raise ValueError(self.text)
        return value

    def term(self) -> tuple[Fraction, Dimensions]:
        """Return the product of components, each multiplied or divided by, from left to right."""
        factor, dimensions = Fraction(1), dict[str, int]()
        sign = -1 if self._take("/") else 1
        while True:
            other, powers = self.component()
            factor *= other**sign
            for base, power in powers.items():
                dimensions[base] = dimensions.get(base, 0) + sign * power
            if self._take("."):
                sign = 1
            elif self._take("/"):
                sign = -1
            else:
                return factor, dimensions

    def _take(self, character: str) -> bool:
        if self.text.startswith(character, self.position):
            self.position += 1
            return True
        return False

    def component(self) -> tuple[Fraction, Dimensions]:
        """Return one component: a group, a number, or a unit with prefix, exponent and annotation."""
        if self._take("("):
            self.depth += 1
            if self.depth > _DEEPEST:
                raise ValueError(self.text)
            value = self.term()
            if not self._take(")"):
                raise ValueError(self.text)
            self.depth -= 1
            self._annotation()
            return value
        match = _COMPONENT.match(self.text, self.position)
        if match is None:
            if self._annotation():
                return Fraction(1), {}
            raise ValueError(self.text)
        self.position = match.end()
        self._annotation()
        if self.every_scale and len(_definitions()["units"].get(_split(match[1])[1], ())) > 3:
            return Fraction(1), {}
        return _component(match[1], match[2])

    def _annotation(self) -> bool:
        match = _ANNOTATION.match(self.text, self.position)
        if match is None:
            return False
        self.position = match.end()
        return True


def _component(name: str, exponent: str | None) -> tuple[Fraction, Dimensions]:
    if name.isdigit():
        return Fraction(int(name + (exponent or ""))), {}
    power = int(exponent or 1)
    if abs(power) > _LARGEST_EXPONENT:
        raise ValueError(exponent)
    factor, dimensions = _simple(name)
    return factor**power, {base: one * power for base, one in dimensions.items()}


@lru_cache(maxsize=1024)
def _simple(name: str) -> tuple[Fraction, Dimensions]:
    """Return the factor and dimensions of one unit with its prefix; raises ValueError."""
    definitions = _definitions()
    scale, atom = _split(name)
    if atom in definitions["base"]:
        return scale, {atom: 1}
    definition = definitions["units"].get(atom)
    if definition is None or len(definition) > 3:
        raise ValueError(name)
    if len(definition) == 1:
        return scale, {atom: 1}
    factor, dimensions = _Parser(definition[2]).whole()
    return scale * Fraction(definition[1]) * factor, dimensions
