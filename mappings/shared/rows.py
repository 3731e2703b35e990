"""What the rows of all tables share: the column types, and `id`, `created_at`, `updated_at`, `deleted_at`.

A column type takes what its FHIR element can hold and refuses the rest, so a row that can be made can be stored.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")
"""What no FHIR string may hold. https://hl7.org/fhir/R4/datatypes.html#string"""
_WIDEST_OFFSET = timedelta(hours=14)


def _text(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be blank")
    if CONTROLS.search(value):
        raise ValueError("must not hold control characters")
    return value


def _url(value: str) -> str:
    if re.search(r"\s", _text(value)):
        raise ValueError("must not hold white space")
    return value


def _id(value: Any) -> Any:
    # Databases number their rows, or use UUID values.
    return value if isinstance(value, str) else str(value)


def with_fhir_offset(value: datetime) -> datetime:
    """Return the time with an offset that FHIR can say: whole minutes, at most 14 hours; local mean times are not."""
    offset = value.utcoffset() or timedelta()
    if offset % timedelta(minutes=1) or abs(offset) > _WIDEST_OFFSET:
        try:
            return value.astimezone(UTC)
        except OverflowError as error:
            raise ValueError("is beyond the calendar") from error
    return value


def _finite(value: Decimal) -> Decimal:
    if not value.is_finite() or len(value.as_tuple().digits) > 34 or abs(int(value.as_tuple().exponent)) > 34:
        raise ValueError("must be a number of at most 34 digits")
    return value


Id = Annotated[str, BeforeValidator(_id), StringConstraints(pattern=r"^[A-Za-z0-9\-.]{1,64}$")]
"""A logical id. https://hl7.org/fhir/R4/datatypes.html#id"""
Text = Annotated[str, AfterValidator(_text)]
"""A FHIR string that says something. https://hl7.org/fhir/R4/datatypes.html#string"""
Url = Annotated[str, AfterValidator(_url)]
"""A FHIR url. https://hl7.org/fhir/R4/datatypes.html#url"""
Code = Annotated[str, StringConstraints(pattern=r"^\S+( \S+)*$")]
"""A FHIR code: no white space around it, single spaces inside. https://hl7.org/fhir/R4/datatypes.html#code"""
Moment = Annotated[AwareDatetime, AfterValidator(with_fhir_offset)]
"""A time with an offset that FHIR can say. https://hl7.org/fhir/R4/datatypes.html#instant"""
Number = Annotated[Decimal, Field(allow_inf_nan=False), AfterValidator(_finite)]
"""A decimal within the 34 digits that the server stores. https://hl7.org/fhir/R4/datatypes.html#decimal"""


class Row(BaseModel):
    """A row of a table; `id` is the logical id of the resource that it is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Id
    created_at: Moment | None = None
    updated_at: Moment | None = None
    deleted_at: Moment | None = None
