"""Whether one element meets one search value, by parameter type. https://hl7.org/fhir/R4/search.html#ptypes"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

from tests.search.oracle.elements import Element
from tests.search.oracle.spans import date_holds, date_span, element_span, number_holds, number_span, prefixed
from tests.search.oracle.texts import folded, split, text_holds, unescape
from tests.search.oracle.units import UCUM, dimension, plain

CASELESS = frozenset({"http://loinc.org", "urn:ietf:bcp:47"})


class Refused(Exception):
    """The search cannot be answered: the server must say 400."""


@dataclass(frozen=True)
class Place:
    """Where and when a search is asked: the zone of times without an offset, the server's base URL, the time."""

    timezone: str
    base_url: str
    now: datetime


def holds(kind: str, modifier: str | None, text: str, element: Element, place: Place) -> bool:
    """Return whether an element meets a search value of a parameter type; raises Refused for one it cannot read."""
    try:
        match kind:
            case "string":
                return text_holds(modifier, unescape(text), element)
            case "token":
                return _token(modifier, text, element)
            case "date":
                return _date(text, element, place)
            case "number":
                prefix, value = prefixed(text)
                return number_holds(prefix, number_span(prefix, value), Fraction(Decimal(element.value)))
            case "quantity":
                return _quantity(text, element.value)
            case "reference":
                return _reference(modifier, unescape(text), element.value, place)
    except (ValueError, InvalidOperation) as error:
        raise Refused(text) from error
    return _uri(modifier, unescape(text), element.value)


def _date(text: str, element: Element, place: Place) -> bool:
    prefix, value = prefixed(unescape(text))
    result = element_span(element.type, element.value, place.timezone)
    expected = date_span(value, place.timezone)
    return result is not None and date_holds(prefix, expected, result, place.now)


# --- Token -------------------------------------------------------------------------------------------------------


def _token(modifier: str | None, text: str, element: Element) -> bool:
    value = element.value
    if modifier == "text":
        expected = folded(unescape(text))
        return any(folded(each).startswith(expected) for each in _displays(element))
    if modifier == "of-type":
        system, code, number = map(unescape, split(text, "|"))
        types = value.get("type", {}).get("coding", ())
        return value.get("value") == number and any(
            each.get("system") == system and each.get("code") == code for each in types
        )
    return any(_same_token(text, system, code, element.type) for system, code in _codings(element))


def _codings(element: Element) -> list[tuple[str | None, str | None]]:
    value = element.value
    match element.type:
        case "CodeableConcept":
            return [(each.get("system"), each.get("code")) for each in value.get("coding", ())]
        case "Coding":
            return [(value.get("system"), value.get("code"))]
        case "Identifier":
            return [(value.get("system"), value.get("value"))]
        case "ContactPoint":
            return [(None, value.get("value"))]
        case "boolean":
            return [(None, "true" if value else "false")]
    return [(None, value)]


def _same_token(text: str, system: str | None, code: str | None, datatype: str) -> bool:
    parts = [unescape(part) for part in split(text, "|")]
    if len(parts) == 1:
        return code is not None and _same_code(parts[0], code, system, datatype)
    wanted_system, expected = parts[0], "|".join(parts[1:])
    if wanted_system == "" and expected == "":
        raise ValueError(text)
    if expected == "":
        return system == wanted_system
    return (system or "") == wanted_system and code is not None and _same_code(expected, code, system, datatype)


def _same_code(expected: str, code: str, system: str | None, datatype: str) -> bool:
    # Letters count, unless the code system says that they do not, or the element is a plain string.
    if system in CASELESS or datatype == "string":
        return expected.casefold() == code.casefold()
    return expected == code


def _displays(element: Element) -> list[str]:
    value: dict[str, Any] = element.value
    match element.type:
        case "CodeableConcept":
            items = [value.get("text"), *(each.get("display") for each in value.get("coding", ()))]
        case "Coding":
            items = [value.get("display")]
        case "Identifier":
            items = [value.get("type", {}).get("text")]
        case _:
            items = []
    return [each for each in items if each is not None]


# --- Quantity, reference, uri ------------------------------------------------------------------------------------


def _quantity(text: str, result: dict[str, Any]) -> bool:
    number, *unit = (unescape(part) for part in split(text, "|"))
    prefix, value = prefixed(number)
    expected = number_span(prefix, value)
    if "value" not in result:
        return False
    amount = Fraction(Decimal(result["value"]))
    if not unit:
        return number_holds(prefix, expected, amount)
    system, code = unit
    if not system:
        return code in (result.get("code"), result.get("unit")) and number_holds(prefix, expected, amount)
    if result.get("system") != system:
        return False
    if system != UCUM or dimension(code) is None:
        return result.get("code") == code and number_holds(prefix, expected, amount)
    if dimension(result.get("code", "")) != dimension(code):
        return False
    low, high = (plain(bound, code) for bound in expected)
    return number_holds(prefix, (low, high), plain(amount, result["code"]))


def _reference(modifier: str | None, text: str, result: dict[str, Any], place: Place) -> bool:
    if modifier == "identifier":
        return "identifier" in result and _token(None, text, Element("Identifier", result["identifier"]))
    reference = _relative(result.get("reference", ""), place)
    expected = _relative(text, place)
    if "/" not in expected and ":" not in expected:
        resource_type, _, resource_id = reference.partition("/")
        return resource_id == expected and modifier in (None, resource_type)
    return reference == expected and (modifier is None or f"{modifier}/" in reference)


def _relative(reference: str, place: Place) -> str:
    return reference.removeprefix(f"{place.base_url}/").partition("/_history/")[0]


def _uri(modifier: str | None, expected: str, result: str) -> bool:
    if modifier == "below":
        return result == expected or result.startswith(expected.rstrip("/") + "/")
    if modifier == "above":
        return result == expected or expected.startswith(result.rstrip("/") + "/")
    return result == expected
