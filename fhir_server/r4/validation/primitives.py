"""The primitive types: what their regular expressions allow, and what these leave open, such as the calendar.

https://hl7.org/fhir/R4/datatypes.html#primitive
"""

from __future__ import annotations

import binascii
import re
from calendar import monthrange
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from fhir_server.r4.ids import ID_PATTERN
from fhir_server.r4.validation.faults import Check, Fault, Faults, Scope, misplaced, shown

# What XML 1.0 cannot carry, and so FHIR neither: control characters, lone surrogates, two non-characters.
_forbidden = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]").search
_LONGEST_STRING = 1024 * 1024
_DECIMAL128_DIGITS = 34
_DECIMAL128_EXPONENTS = range(-6176, 6112)

_YEAR = r"(?!0000)[0-9]{4}"
_DAY = r"(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]+)?"
_ZONE = r"(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))"

_date_form = re.compile(rf"{_YEAR}(?:-(?:0[1-9]|1[0-2])|-{_DAY})?").fullmatch
_datetime_form = re.compile(rf"{_YEAR}(?:-(?:0[1-9]|1[0-2])|-{_DAY}(?:T{_CLOCK}{_ZONE})?)?").fullmatch
_instant_form = re.compile(rf"{_YEAR}-{_DAY}T{_CLOCK}{_ZONE}").fullmatch
_time_form = re.compile(_CLOCK).fullmatch
_id_form = re.compile(ID_PATTERN).fullmatch
_oid_form = re.compile(r"urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+").fullmatch
_uuid_form = re.compile(r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").fullmatch
_code_form = re.compile(r"\S+(?: \S+)*", re.ASCII).fullmatch
_unspaced_form = re.compile(r"\S+", re.ASCII).fullmatch

_RULES = {
    "base64Binary": "base64 text",
    "canonical": "a URI without white space",
    "code": "text without white space but single spaces between words",
    "date": "YYYY, YYYY-MM or YYYY-MM-DD of the calendar",
    "dateTime": "a date of the calendar, or one with hh:mm:ss and a time zone",
    "id": "1 to 64 of A-Z, a-z, 0-9, '-' and '.'",
    "instant": "YYYY-MM-DDThh:mm:ss, fractions of a second if known, and a time zone",
    "oid": "urn:oid: and an OID",
    "time": "hh:mm:ss without a time zone, below 24:00:00",
    "uri": "a URI without white space",
    "url": "a URL without white space",
    "uuid": "urn:uuid: and a UUID in lower case",
    "xml id": "text without white space",
}


def _refused(value: object, type_: str) -> list[Fault]:
    """Return why a value is not of a type that JSON writes as a string."""
    if not isinstance(value, str):
        return misplaced("a string", value)
    if not value:
        return [Fault("", "value", "A string must not be empty.")]
    forbidden = _forbidden(value)
    if forbidden:
        return [
            Fault(
                "", "value", f"The character U+{ord(forbidden[0]):04X} at {forbidden.start()} is not allowed in FHIR."
            )
        ]
    if type_ not in _RULES:
        return [Fault("", "too-long", f"A {type_} must not exceed {_LONGEST_STRING} characters.")]
    return [Fault("", "value", f"{shown(value)} is not of type {type_}: {_RULES[type_]}.")]


def _text(type_: str) -> Check:
    def check(value: Any, _depth: int, _scope: Scope) -> Faults:
        # isprintable is the quick way to say: no control characters, no surrogates, not even a line end.
        if (
            type(value) is str
            and value
            and len(value) <= _LONGEST_STRING
            and (value.isprintable() or not _forbidden(value))
        ):
            return None
        return _refused(value, type_)

    return check


def _unspaced(type_: str) -> Check:
    def check(value: Any, _depth: int, _scope: Scope) -> Faults:
        if type(value) is str and value:
            if value.isprintable():
                if " " not in value:
                    return None
            elif _unspaced_form(value) and not _forbidden(value):
                return None
        return _refused(value, type_)

    return check


def _formed(type_: str, form: Callable[[str], object], meaning: Callable[[str], bool] | None = None) -> Check:
    def check(value: Any, _depth: int, _scope: Scope) -> Faults:
        if type(value) is str and form(value) and (meaning is None or meaning(value)):
            return None
        return _refused(value, type_)

    return check


def _code(value: Any, _depth: int, _scope: Scope) -> Faults:
    if type(value) is str and value and (value.isalnum() or (_code_form(value) and not _forbidden(value))):
        return None
    return _refused(value, "code")


def _is_in_month(value: str) -> bool:
    # Every month has 28 days, so only the later ones need the calendar; a shorter text has no day.
    return value[8:10] <= "28" or int(value[8:10]) <= monthrange(int(value[:4]), int(value[5:7]))[1]


def _base64(value: Any, _depth: int, _scope: Scope) -> Faults:
    if type(value) is str and value:
        try:
            packed = "".join(value.split())
            # Strict as it is, the function passes over surplus padding after a whole group.
            if len(packed) % 4 == 0 and binascii.a2b_base64(packed, strict_mode=True):
                return None
        except ValueError:
            pass
    return _refused(value, "base64Binary")


def _boolean(value: Any, _depth: int, _scope: Scope) -> Faults:
    return None if type(value) is bool else misplaced("true or false", value)


def _integer(type_: str, lowest: int) -> Check:
    highest = 2**31 - 1

    def check(value: Any, _depth: int, _scope: Scope) -> Faults:
        if type(value) is int and lowest <= value <= highest:
            return None
        if isinstance(value, Decimal):
            return [
                Fault(
                    "",
                    "value",
                    f"{shown(str(value))[1:-1]} is not of type {type_}: a whole number without point or exponent.",
                )
            ]
        if isinstance(value, bool) or not isinstance(value, int):
            return misplaced("a number", value)
        return [Fault("", "value", f"A {type_} must be between {lowest} and {highest}.")]

    return check


def _decimal(value: Any, _depth: int, _scope: Scope) -> Faults:
    if type(value) is int:
        if -(10**_DECIMAL128_DIGITS) < value < 10**_DECIMAL128_DIGITS:
            return None
    elif isinstance(value, Decimal):
        # The common case by the length of the text alone: no exponent, and no more digits than fit.
        text = str(value)
        if (len(text) <= _DECIMAL128_DIGITS and "E" not in text and value.is_finite()) or _fits_decimal128(value):
            return None
    else:
        return misplaced("a number", value)
    return [Fault("", "value", f"A decimal has at most {_DECIMAL128_DIGITS} digits and an exponent of -6176 to 6111.")]


def _fits_decimal128(value: Decimal) -> bool:
    _, digits, exponent = value.as_tuple()
    return isinstance(exponent, int) and len(digits) <= _DECIMAL128_DIGITS and exponent in _DECIMAL128_EXPONENTS


PRIMITIVES: dict[str, Check] = {
    "base64Binary": _base64,
    "boolean": _boolean,
    "canonical": _unspaced("canonical"),
    "code": _code,
    "date": _formed("date", _date_form, _is_in_month),
    "dateTime": _formed("dateTime", _datetime_form, _is_in_month),
    "decimal": _decimal,
    "id": _formed("id", _id_form),
    "instant": _formed("instant", _instant_form, _is_in_month),
    "integer": _integer("integer", -(2**31)),
    "markdown": _text("markdown"),
    "oid": _formed("oid", _oid_form),
    "positiveInt": _integer("positiveInt", 1),
    "string": _text("string"),
    "time": _formed("time", _time_form),
    "unsignedInt": _integer("unsignedInt", 0),
    "uri": _unspaced("uri"),
    "url": _unspaced("url"),
    "uuid": _formed("uuid", _uuid_form),
}
"""The check of each primitive type but xhtml, which `narrative` has."""

_xml_id = _unspaced("xml id")


def element_id(value: Any, depth: int, scope: Scope) -> Faults:
    """Check `Element.id`, an attribute in XML, which no two elements of a resource share.

    https://hl7.org/fhir/R4/element.html
    """
    faults = _xml_id(value, depth, scope)
    if faults is not None:
        return faults
    # The differential of a StructureDefinition names the elements of its snapshot again; sdf-16 and sdf-17 hold.
    if value in scope.element_ids and scope.resource.get("resourceType") != "StructureDefinition":
        return [Fault("", "duplicate", f"{shown(value)} is the id of another element of this resource.")]
    scope.element_ids.add(value)
    return None
