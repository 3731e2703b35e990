"""UCUM units as one canonical unit and a conversion, so that 0.01 kg equals 10 g. https://ucum.org/ucum"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

SYSTEM = "http://unitsofmeasure.org"


@dataclass(frozen=True, slots=True)
class Canonical:
    """A canonical unit, and how an amount in another becomes one in it: times `factor`, plus `offset`."""

    unit: str
    factor: Decimal
    offset: Decimal

    def convert(self, amount: Decimal) -> Decimal:
        """Return the amount in the canonical unit."""
        return amount * self.factor + self.offset


@lru_cache(maxsize=4096)
def canonical(code: str) -> Canonical | None:
    """Return the canonical form of a unit, None for what is not a UCUM unit that can be converted."""
    return None
