"""Conversions between System types, each as toX() and convertsToX(). https://hl7.org/fhirpath/N1/#conversion"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal

from fhir_server.r4.fhirpath.functions.registry import function, predicate
from fhir_server.r4.fhirpath.items import EMPTY, Item, Items, boolean, integer, number, single, string
from fhir_server.r4.fhirpath.quantity import CALENDAR_UNITS, quantity, text
from fhir_server.r4.fhirpath.temporal import Temporal
from fhir_server.r4.fhirpath.types import SYSTEM_TYPES

_TRUE = ("true", "t", "yes", "y", "1", "1.0")
_FALSE = ("false", "f", "no", "n", "0", "0.0")
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_DECIMAL = re.compile(r"[+-]?\d+(\.\d+)?", re.ASCII)
_QUANTITY = re.compile(r"(?P<value>[+-]?\d+(?:\.\d+)?)\s*(?:'(?P<unit>[^']+)'|(?P<calendar>[a-z]+))?", re.ASCII)


def _conversion(name: str, convert: Callable[[Item], Items]) -> None:
    def to(items: Items) -> Items:
        item = single(items)
        return EMPTY if item is None or item.value is None else convert(item)

    def converts(items: Items) -> bool | None:
        item = single(items)
        return None if item is None or item.value is None else bool(convert(item))

    function(f"to{name}")(to)
    predicate(f"convertsTo{name}")(converts)


def _to_boolean(item: Item) -> Items:
    value = item.value
    if isinstance(value, bool):
        return boolean(value)
    if isinstance(value, int | Decimal):
        return boolean(bool(value)) if value in (0, 1) else EMPTY
    if isinstance(value, str):
        word = value.lower()
        return boolean(True if word in _TRUE else False if word in _FALSE else None)
    return EMPTY


def _to_integer(item: Item) -> Items:
    value = item.value
    if isinstance(value, int):
        return integer(int(value))
    if isinstance(value, str) and len(value) < 40 and _INTEGER.fullmatch(value) and abs(int(value)) < 2**31:
        return integer(int(value))
    return EMPTY


def _to_decimal(item: Item) -> Items:
    value = item.value
    if isinstance(value, bool | int):
        return number(Decimal(int(value)))
    if isinstance(value, Decimal) or (isinstance(value, str) and _DECIMAL.fullmatch(value)):
        return number(Decimal(value))
    return EMPTY


def _to_string(item: Item) -> Items:
    value = item.value
    if isinstance(value, bool):
        return string("true" if value else "false")
    if isinstance(value, str):
        return string(value)
    if isinstance(value, Decimal):
        return string(f"{value:f}" if abs(value.adjusted()) < 1000 else str(value))
    if isinstance(value, int):
        return string(str(value))
    if SYSTEM_TYPES.get(item.type) == "Quantity" and "value" in value:
        return string(text(value))
    return EMPTY


def _to_quantity(item: Item) -> Items:
    value = item.value
    if SYSTEM_TYPES.get(item.type) == "Quantity":
        return [item]
    if isinstance(value, bool | int | Decimal):
        return [Item("System.Quantity", quantity(Decimal(value), "1"))]
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if match is None or (match["calendar"] is not None and match["calendar"] not in CALENDAR_UNITS):
        return EMPTY
    unit = match["calendar"] or match["unit"] or "1"
    amount = quantity(Decimal(match["value"]), unit, calendar=match["calendar"] is not None)
    return [Item("System.Quantity", amount)]


def _to_date(item: Item) -> Items:
    if SYSTEM_TYPES.get(item.type) in ("Date", "DateTime", "String"):
        date = item.value.partition("T")[0] if SYSTEM_TYPES[item.type] == "DateTime" else item.value
        return [Item("System.Date", date)] if Temporal.parse("System.Date", date) else EMPTY
    return EMPTY


def _to_date_time(item: Item) -> Items:
    convertible = SYSTEM_TYPES.get(item.type) in ("Date", "DateTime", "String")
    return (
        [Item("System.DateTime", item.value)]
        if convertible and Temporal.parse("System.DateTime", item.value)
        else EMPTY
    )


def _to_time(item: Item) -> Items:
    convertible = SYSTEM_TYPES.get(item.type) in ("Time", "String")
    return [Item("System.Time", item.value)] if convertible and Temporal.parse("System.Time", item.value) else EMPTY


_conversion("Boolean", _to_boolean)
_conversion("Integer", _to_integer)
_conversion("Decimal", _to_decimal)
_conversion("String", _to_string)
_conversion("Quantity", _to_quantity)
_conversion("Date", _to_date)
_conversion("DateTime", _to_date_time)
_conversion("Time", _to_time)
