"""Primitives are checked by the regular expressions of the specification and by what these leave open."""

from __future__ import annotations

from calendar import monthrange
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.r4.validation.faults import Scope
from fhir_server.r4.validation.primitives import PRIMITIVES

SOUND: dict[str, list[Any]] = {
    "base64Binary": ["AAAA", "AA==", "AAA=", "AAAA AAAA", "AAAA\r\nAAAA"],
    "boolean": [True, False],
    "canonical": ["http://x/ValueSet/a|1.0", "#local"],
    "code": ["final", "8480-6", "a b", "μg", "4-4 x"],
    "date": ["2020", "2020-12", "2020-02-29", "0001-01-01"],
    "dateTime": ["2020", "2020-12", "2020-02-29", "2020-01-01T00:00:00Z", "2020-01-01T23:59:60.123456789+14:00"],
    "decimal": [
        0,
        -1,
        Decimal("1.00"),
        Decimal("-0.0"),
        Decimal("1E-10"),
        Decimal("1" * 34),
        Decimal("1E+6111"),
        10**34 - 1,
    ],
    "id": ["a", "A-1.b", "x" * 64],
    "instant": ["2020-01-01T00:00:00Z", "2020-01-01T00:00:00.5-05:00"],
    "integer": [0, -(2**31), 2**31 - 1],
    "markdown": ["# a\n\n* b", " "],
    "oid": ["urn:oid:1.2.3", "urn:oid:2.16.840.1.113883.6.88", "urn:oid:0.0"],
    "positiveInt": [1, 2**31 - 1],
    "string": ["a", "a\tb\r\nc", "ü\u00a0😀", " ", "x" * 1048576],
    "time": ["00:00:00", "23:59:60", "12:00:00.001"],
    "unsignedInt": [0, 2**31 - 1],
    "uri": ["http://x", "urn:uuid:6d0f9f6e-3f4e-4d0f-9d5a-0a5a3c6f5e01", "a"],
    "url": ["https://x/y?z", "mailto:a@b"],
    "uuid": ["urn:uuid:6d0f9f6e-3f4e-4d0f-9d5a-0a5a3c6f5e01"],
}

REFUSED: dict[str, list[Any]] = {
    "base64Binary": [
        "",
        "A",
        "AAA",
        "AA=A",
        "A===",
        "AAAA=",
        "AAAA==",
        "QUI==",
        "QQ===",
        "ÄAAA",
        "AAAA-_==",
        1,
        "\ud800AAA",
    ],
    "boolean": ["true", 1, 0, None],
    "canonical": ["", "a b", None],
    "code": ["", " a", "a ", "a  b", "\n", "a\x01", "\ud800", 1],
    "date": [
        "",
        "20",
        "2020-1",
        "2020-13",
        "2020-00",
        "2020-02-30",
        "2021-02-29",
        "0000",
        "2020-01-01T00:00:00Z",
        "２０２０",
        2020,
    ],
    "dateTime": [
        "2020-01-01T00:00:00",
        "2020-01-01T00:00Z",
        "2020-01-01T24:00:00Z",
        "2020-01-01 00:00:00Z",
        "2020-01-01T00:00:00z",
        "2020-02-30T00:00:00Z",
        "2020-01-01T00:00:00+14:30",
        "2020-01-01T00:00:00.Z",
        "2020T00:00:00Z",
        "2020-01-01\n",
    ],
    "decimal": [
        True,
        "1.0",
        1.5,
        None,
        Decimal("1" * 35),
        10**34,
        Decimal("1E+6112"),
        Decimal("1E-6177"),
        Decimal("NaN"),
        Decimal("Infinity"),
    ],
    "id": ["", "a_b", "x" * 65, "a b", "ä", "a\n"],
    "instant": ["2020-01-01", "2020-01-01T00:00:00", "2020-04-31T00:00:00Z"],
    "integer": [2**31, -(2**31) - 1, True, "1", Decimal(1), None],
    "markdown": ["", "a\x0b"],
    "oid": ["1.2.3", "urn:oid:3.1", "urn:oid:1.02", "urn:oid:1"],
    "positiveInt": [0, -1, 2**31, False],
    "string": ["", "\x00", "a\x1f", "\ud800", "\udfff", "\uffff", "x" * 1048577, 1, None, [], {}],
    "time": ["24:00:00", "12:00", "12:00:00Z", "1:00:00", "12:60:00"],
    "unsignedInt": [-1, Decimal("0")],
    "uri": ["", " ", "a b", "a\tb", "\ud800"],
    "url": ["", "a b"],
    "uuid": ["6d0f9f6e-3f4e-4d0f-9d5a-0a5a3c6f5e01", "urn:uuid:6D0F9F6E-3F4E-4D0F-9D5A-0A5A3C6F5E01", "urn:uuid:1"],
}

SCOPE = Scope({})


def is_sound(type_: str, value: object) -> bool:
    """Return whether the check of a primitive type accepts the value; a refusal has to say why."""
    faults = PRIMITIVES[type_](value, 1, SCOPE)
    assert faults is None or all(fault.text and not fault.path for fault in faults)
    return faults is None


@pytest.mark.parametrize(("type_", "value"), [(type_, value) for type_, values in SOUND.items() for value in values])
def test_sound_values_are_accepted(type_: str, value: object) -> None:
    """A value that the specification allows is accepted."""
    assert is_sound(type_, value)


@pytest.mark.parametrize(("type_", "value"), [(type_, value) for type_, values in REFUSED.items() for value in values])
def test_other_values_are_refused(type_: str, value: object) -> None:
    """A value that the specification does not allow is refused with a reason."""
    assert not is_sound(type_, value)


def test_every_primitive_type_has_a_check() -> None:
    """Both tables cover all the primitive types there are."""
    assert set(SOUND) == set(REFUSED) == set(PRIMITIVES)


@given(st.dates())
def test_every_day_of_the_calendar_is_a_date(day: date) -> None:
    """All days from year 1 to 9999 are dates, dateTimes, and days of instants."""
    text = day.isoformat()
    assert is_sound("date", text)
    assert is_sound("dateTime", text)
    assert is_sound("instant", text + "T12:00:00Z")


@given(st.integers(1, 9999), st.integers(1, 12), st.integers(1, 3))
def test_no_day_after_the_end_of_a_month_is_a_date(year: int, month: int, beyond: int) -> None:
    """The day after a month's last is refused, in leap years too."""
    text = f"{year:04}-{month:02}-{monthrange(year, month)[1] + beyond:02}"
    assert not is_sound("date", text)
    assert not is_sound("dateTime", text + "T12:00:00Z")


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_a_decimal_is_sound_exactly_if_decimal128_holds_it(value: Decimal) -> None:
    """At most 34 digits, and an exponent from -6176 to 6111."""
    _, digits, exponent = value.as_tuple()
    assert is_sound("decimal", value) == (len(digits) <= 34 and -6176 <= int(exponent) <= 6111)


@given(st.text(st.characters(codec=None), min_size=1))
def test_a_string_is_sound_exactly_if_xml_can_carry_it(text: str) -> None:
    """The characters of a string are those of XML 1.0."""
    allowed = all(
        character in "\t\n\r"
        or " " <= character <= "\ud7ff"
        or "\ue000" <= character <= "\ufffd"
        or character > "\uffff"
        for character in text
    )
    assert is_sound("string", text) == allowed
    assert is_sound("markdown", text) == allowed
