"""Money: a decimal amount in an ISO 4217 currency, never a float. https://hl7.org/fhir/R4/datatypes.html#Money"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Context, Decimal
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from mappings.shared.rows import Number

Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]

# ISO 4217 currencies whose smallest unit is not a hundredth.
_WHOLE = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THOUSANDTHS = "BHD IQD JOD KWD LYD OMR TND"
_EXACT = Context(prec=80)


class Money(BaseModel):
    """An amount in a currency; two are equal when their values are, whatever zeros are written."""

    model_config = ConfigDict(frozen=True)

    amount: Number
    currency: Currency | None = None

    @classmethod
    def from_fhir(cls, money: Any) -> Self | None:
        """Return the amount that a Money element says; None where it says none that can be read."""
        if not isinstance(money, Mapping) or money.get("value") is None:
            return None
        try:
            return cls(amount=money["value"], currency=money.get("currency"))
        except ValidationError:
            return None

    @classmethod
    def from_smallest_units(cls, count: int, currency: str) -> Self:
        """Return the amount that so many cents, or whatever the currency's smallest unit is, make."""
        return cls(amount=Decimal(count).scaleb(-digits(currency), _EXACT), currency=currency)

    @property
    def payable(self) -> bool:
        """Whether the amount is more than nothing and a whole number of the smallest units."""
        units = self._units()
        return units > 0 and units == units.to_integral_value()

    @property
    def text(self) -> str:
        """The amount as people read it: "20 USD", and "95.50 USD" for what the app's numbers say as 95.5."""
        units = self._units()
        whole, exact = self.amount == self.amount.to_integral_value(), units == units.to_integral_value()
        places = 0 if whole else digits(self.currency)
        number = f"{self.amount:.{places}f}" if whole or exact else f"{self.amount:f}"
        return f"{number} {self.currency or ''}".rstrip()

    def smallest_units(self) -> int:
        """Return the amount as a count of the currency's smallest unit, as payment gateways take it.

        Raises ValueError where that is no whole number: money is not rounded on its way to being charged.
        """
        units = self._units()
        if units != units.to_integral_value():
            raise ValueError(f"{self.amount} {self.currency} is finer than the currency's smallest unit")
        return int(units)

    def _units(self) -> Decimal:
        return self.amount.scaleb(digits(self.currency), _EXACT)


def digits(currency: str | None) -> int:
    """Return how many digits after the point the currency's smallest unit needs."""
    if not currency:
        return 2
    return 0 if currency in _WHOLE else 3 if currency in _THOUSANDTHS else 2
