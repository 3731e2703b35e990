"""What the rows of all tables share: the column types, and `id`, `created_at`, `updated_at`, `deleted_at`.

A column type takes what its FHIR element can hold and refuses the rest, so a row that can be made can be stored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    StringConstraints,
    ValidationError,
)

from fhir_server.r4.ids import ID_PATTERN
from mappings.shared import odd_values

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


Id = Annotated[str, BeforeValidator(_id), StringConstraints(pattern=f"^{ID_PATTERN}$")]
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
    _odd: tuple[str, ...] = PrivateAttr(())

    @classmethod
    def read(cls, resource: Mapping[str, Any], **columns: Any) -> Self:
        """Return the row that a resource is; a column that cannot hold what the resource says keeps its default.

        Whoever may write over FHIR may write such a value: it must not hide the row, let alone the rows beside it.
        What was left out is logged, once for a version, and stands in `odd`.
        """
        fine, faulty = dict(columns), list[str]()
        while True:
            try:
                row = cls(id=resource["id"], **fine)
                break
            except ValidationError as error:
                names = {str(each["loc"][0]) for each in error.errors() if each["loc"]} & fine.keys()
                if not names:
                    raise
                faulty += sorted(names)
                fine = {name: value for name, value in fine.items() if name not in names}
        row._odd = odd_values.note(resource, faulty)
        return row

    @property
    def odd(self) -> tuple[str, ...]:
        """The columns and extensions of the resource that hold what the table cannot say."""
        return self._odd
