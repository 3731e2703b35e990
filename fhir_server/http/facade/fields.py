"""The fields of request bodies that take more than a type: addresses, phone numbers, zones, passwords, money."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any

import phonenumbers
from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, PlainSerializer, StringConstraints

from mappings import clinic_clock
from mappings.rows import Id, Text

__all__ = ["Amount", "BirthDate", "Body", "Email", "Id", "Language", "Name", "Password", "Phone", "Reason", "Zone"]


class Body(BaseModel):
    """The body of a request: fields that are not known are refused, so that a misspelt one is noticed."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


def email(text: str) -> str:
    """Return the address in its normal form; raises ValueError("email")."""
    try:
        found = validate_email(text, check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        raise ValueError("email") from error
    return found.normalized


def phone(text: str) -> str:
    """Return the number as E.164; raises ValueError("phone")."""
    try:
        found = phonenumbers.parse(text, None)
    except phonenumbers.NumberParseException as error:
        raise ValueError("phone") from error
    if not phonenumbers.is_possible_number(found):
        raise ValueError("phone")
    return str(phonenumbers.format_number(found, phonenumbers.PhoneNumberFormat.E164))


def _zone(name: str) -> str:
    try:
        return clinic_clock.zone(name).key
    except ValueError as error:
        raise ValueError("timezone") from error


def _birth_date(day: date) -> date:
    # Somewhere on earth it may be tomorrow already.
    if day > datetime.now(UTC).date() + timedelta(days=1):
        raise ValueError("birth_date")
    return day


def _text(value: Any) -> Any:
    if isinstance(value, str) and not value.strip():
        raise ValueError("blank")
    return value


Email = Annotated[str, StringConstraints(max_length=254), AfterValidator(email)]
Phone = Annotated[str, StringConstraints(max_length=40), AfterValidator(phone)]
Zone = Annotated[str, StringConstraints(max_length=60), AfterValidator(_zone)]
Language = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]
BirthDate = Annotated[date, AfterValidator(_birth_date)]
Name = Annotated[Text, BeforeValidator(_text), StringConstraints(max_length=200)]
Reason = Annotated[Text, BeforeValidator(_text), StringConstraints(max_length=2000)]
Password = Annotated[str, StringConstraints(strip_whitespace=False)]
Amount = Annotated[Decimal, PlainSerializer(float, return_type=float, when_used="json")]
"""An amount in an answer: a JSON number."""
