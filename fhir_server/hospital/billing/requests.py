"""What every request to pay asks, and how it is answered: for appointments and lab tests alike."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field, WithJsonSchema

from fhir_server.hospital.api.answers import Answer
from fhir_server.hospital.api.description.openapi import errors
from fhir_server.hospital.api.fields import Amount, Body, Line
from fhir_server.hospital.api.problem import invalid
from fhir_server.hospital.billing.paying import Order
from mappings.billing.payments import Method, Status
from mappings.shared.money import Currency, Money
from mappings.shared.rows import Number

_MOST = 10**9
PAYING_ERRORS = errors(
    "invalid_token",
    "payment_declined",
    "already_paid",
    "appointment_canceled",
    "request_in_progress",
    "amount_mismatch",
    "insurance_not_verified",
    "validation_failed",
    "gateway_unavailable",
)


class Paying(Body):
    """How much is paid, and how; `card_token` stands for a card at the gateway."""

    amount: Annotated[
        Number,
        Field(ge=Decimal(0), le=Decimal(_MOST)),
        WithJsonSchema({"type": "number", "minimum": 0, "maximum": _MOST, "title": "Amount"}),
    ]
    currency: Currency
    payment_method: Method
    card_token: Annotated[Line, Field(min_length=1, max_length=200)] | None = None

    def order(self) -> Order:
        """Return what is to be paid; raises Problem for what cannot be paid like this."""
        money = Money(amount=self.amount, currency=self.currency)
        # Where insurance pays all there is nothing left, and that is to be written down as paid.
        if money.amount == 0 and self.payment_method != "insurance":
            raise invalid("amount", "positive")
        if money.amount and not money.payable:
            raise invalid("amount", "currency")
        if self.payment_method == "card" and self.card_token is None:
            raise invalid("card_token", "card_token")
        return Order(money, self.payment_method, self.card_token)


class PaymentAnswer(Answer):
    """A payment; `id` is that of its Invoice."""

    appointment_id: str | None
    amount: Amount
    currency: str | None
    payment_method: Method | None
    status: Status
    transaction_id: str | None
