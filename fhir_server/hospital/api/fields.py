"""The fields of request bodies that take more than a type: addresses, phone numbers, zones, passwords, money."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
    field_validator,
)

from fhir_server.auth.accounts.login_names import email, phone
from fhir_server.r4.ids import ID_PATTERN, is_id
from mappings.shared import clinic_clock
from mappings.shared.rows import CONTROLS, Id, Text

__all__ = [
    "Amount",
    "BirthDate",
    "Body",
    "ClockTime",
    "Date",
    "Email",
    "Id",
    "Language",
    "Line",
    "Name",
    "Password",
    "Phone",
    "Plain",
    "Reason",
    "ResourceId",
    "VisitDate",
    "Words",
    "Zone",
]


_SURROGATE = re.compile(r"[\ud800-\udfff]")
_NOT_ONE_LINE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""Controls and line ends of Unicode: what is shown, mailed or printed in one line has none."""
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_CLOCK_TIME = re.compile(r"^\d{2}:\d{2}(:\d{2})?$", re.ASCII)


class Body(BaseModel):
    """The body of a request: fields that are not known are refused, so that a misspelt one is noticed."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    @field_validator("*", mode="before")
    @classmethod
    def _unicode(cls, value: Any) -> Any:
        # JSON can say half of a surrogate pair, which is no character and cannot be stored or hashed.
        if isinstance(value, str) and _SURROGATE.search(value):
            raise ValueError("characters")
        return value


def _plain(text: str) -> str:
    if CONTROLS.search(text):
        raise ValueError("characters")
    return text


def _one_line(text: str) -> str:
    if _NOT_ONE_LINE.search(text):
        raise ValueError("one_line")
    return text


def _resource_id(text: str) -> str:
    # What no resource can have as its id is told as what none has.
    if not is_id(text):
        raise ValueError("unknown_id")
    return text


def _language(tag: str) -> str:
    if not re.fullmatch(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*", tag):
        raise ValueError("language")
    return tag


def _zone(name: str) -> str:
    try:
        return clinic_clock.zone(name).key
    except ValueError as error:
        raise ValueError("timezone") from error


def iso_date(text: Any) -> date:
    """Return the date that is written YYYY-MM-DD; raises ValueError("date") for any other way, and for no text."""
    if not isinstance(text, str) or not _ISO_DATE.fullmatch(text):
        raise ValueError("date")
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ValueError("date") from error


def _bookable(day: date) -> date:
    # A day more must be a day of the calendar, too, in every zone.
    return min(max(day, date(2, 1, 1)), date(9998, 12, 31))


def _clock_time(text: Any) -> time:
    if not isinstance(text, str) or not _CLOCK_TIME.fullmatch(text):
        raise ValueError("time")
    try:
        return time.fromisoformat(text)
    except ValueError as error:
        raise ValueError("time") from error


def _birth_date(day: date) -> date:
    # Somewhere on earth it may be tomorrow already.
    if day > datetime.now(UTC).date() + timedelta(days=1):
        raise ValueError("birth_date")
    return day


def _text(value: Any) -> Any:
    if isinstance(value, str) and not value.strip():
        raise ValueError("blank")
    return value


Email = Annotated[
    str,
    StringConstraints(max_length=254),
    AfterValidator(email),
    Field(json_schema_extra={"format": "email", "examples": ["ana@example.org"]}),
]
Phone = Annotated[str, StringConstraints(max_length=40), AfterValidator(phone), Field(examples=["+12075550123"])]
Zone = Annotated[str, StringConstraints(max_length=60), AfterValidator(_zone), Field(examples=["Europe/Madrid"])]
Language = Annotated[str, StringConstraints(max_length=60), AfterValidator(_language), Field(examples=["es"])]
Date = Annotated[date, BeforeValidator(iso_date)]
VisitDate = Annotated[Date, AfterValidator(_bookable)]
"""A day on which there may be a visit; one at the calendar's edge has none, nor has the next one."""
ClockTime = Annotated[
    time,
    BeforeValidator(_clock_time),
    WithJsonSchema({"type": "string", "pattern": _CLOCK_TIME.pattern, "examples": ["14:30"]}),
]
"""A time on the clinic's clock, such as 14:30."""
BirthDate = Annotated[Date, AfterValidator(_birth_date)]
Line = Annotated[Text, BeforeValidator(_text), AfterValidator(_one_line)]
"""A text of one line that says something: without line ends and other control characters."""
Name = Annotated[Line, StringConstraints(max_length=200)]
Words = Annotated[str, AfterValidator(_one_line)]
"""A text of one line that may be empty."""
Plain = Annotated[str, AfterValidator(_plain)]
"""A text that may be empty."""
ResourceId = Annotated[
    str,
    AfterValidator(_resource_id),
    Field(json_schema_extra={"pattern": f"^{ID_PATTERN}$", "minLength": 1, "maxLength": 64}),
]
"""The id of a resource, in a body."""
Reason = Annotated[Text, BeforeValidator(_text), StringConstraints(max_length=2000)]
Password = Annotated[str, StringConstraints(strip_whitespace=False), Field(json_schema_extra={"format": "password"})]
Amount = Annotated[Decimal, PlainSerializer(float, return_type=float, when_used="json")]
"""An amount in an answer: a JSON number."""
