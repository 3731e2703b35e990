"""Quantity parameters: numbers with units, comparable across units by UCUM.
https://hl7.org/fhir/R4/search.html#quantity

Keys: `value-quantity<5.4` (as sortable text) in whatever unit, `value-quantity^g.m-3␟5.4` in the canonical unit of
UCUM, `value-quantity@http://unitsofmeasure.org␟mg␟5.4` where the system is another or UCUM does not know the code, and
`value-quantity@␟mg␟5.4` for the code and for the unit as people read it.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from fhir_server.r4 import ucum
from fhir_server.r4.fhirpath import Item
from fhir_server.search.index.entry import Entry
from fhir_server.search.index.keys import SEPARATOR, clean
from fhir_server.search.params import numbers
from fhir_server.search.params.decimals import approximate_span, implied_span, number, sortable
from fhir_server.search.params.numbers import bound_of, write_range
from fhir_server.search.params.prefixes import split_prefix
from fhir_server.search.query.conditions import Condition

_CURRENCIES = "urn:iso:std:iso:4217"
_UPPER = frozenset({"<", "<="})
_LOWER = frozenset({">", ">="})


# --- Index -------------------------------------------------------------------------------------------------------


def index(name: str, items: list[Item], entry: Entry) -> None:
    """Write the keys and ranges of a quantity parameter."""
    for item in items:
        value = item.value
        if isinstance(value, dict):
            _WRITERS.get(item.type, _quantity)(name, value, entry)


def _quantity(name: str, value: dict[str, Any], entry: Entry) -> None:
    amount = bound_of(value)
    if amount is None:
        return
    comparator = value.get("comparator")
    if comparator is not None:
        low, high = None if comparator in _UPPER else amount, None if comparator in _LOWER else amount
        _range(name, low, high, value, entry)
        return
    entry.keys.append(f"{name}<{sortable(amount)}")
    system, code = value.get("system"), value.get("code")
    canonical = ucum.canonical(code) if system == ucum.SYSTEM and code is not None else None
    if canonical is not None:
        entry.keys.append(f"{name}^{canonical.unit}{SEPARATOR}{sortable(canonical.convert(amount))}")
    elif system is not None and code is not None:
        entry.keys.append(f"{name}@{clean(system)}{SEPARATOR}{clean(code)}{SEPARATOR}{sortable(amount)}")
    for unit in _texts(value):
        entry.keys.append(f"{name}@{SEPARATOR}{unit}{SEPARATOR}{sortable(amount)}")


def _texts(value: dict[str, Any]) -> set[str]:
    return {clean(unit) for unit in (value.get("code"), value.get("unit")) if isinstance(unit, str)}


def _money(name: str, value: dict[str, Any], entry: Entry) -> None:
    _quantity(name, {"value": value.get("value"), "system": _CURRENCIES, "code": value.get("currency")}, entry)


def _range_element(name: str, value: dict[str, Any], entry: Entry) -> None:
    low, high = bound_of(value.get("low")), bound_of(value.get("high"))
    _range(name, low, high, value.get("low") or value.get("high") or {}, entry)


def _sampled(name: str, value: dict[str, Any], entry: Entry) -> None:
    # A series of samples is the range that they lie in.
    origin = bound_of(value.get("origin"))
    samples = [Decimal(text) for text in str(value.get("data") or "").split() if _is_number(text)]
    if origin is None or not samples:
        return
    factor = Decimal(value.get("factor") or 1)
    limits = sorted((origin + factor * min(samples), origin + factor * max(samples)))
    _range(name, limits[0], limits[1], value["origin"], entry)


def _is_number(text: str) -> bool:
    try:
        number(text)
    except ValueError:
        return False
    return True


def _range(name: str, low: Decimal | None, high: Decimal | None, unit: dict[str, Any], entry: Entry) -> None:
    system, code = unit.get("system"), unit.get("code")
    canonical = ucum.canonical(code) if system == ucum.SYSTEM and code is not None else None
    texts = [f"@{SEPARATOR}{text}" for text in _texts(unit)]
    if canonical is None:
        if system is not None and code is not None:
            texts.append(f"@{clean(system)}{SEPARATOR}{clean(code)}")
        write_range(name, low, high, entry, tuple(texts))
        return
    write_range(name, low, high, entry, tuple(texts))
    converted = [None if bound is None else canonical.convert(bound) for bound in (low, high)]
    write_range(name, converted[0], converted[1], entry, (f"^{canonical.unit}",))


_WRITERS = {"Money": _money, "Range": _range_element, "SampledData": _sampled}


# --- Search ------------------------------------------------------------------------------------------------------


def condition(name: str, text: str, system: str | None = None, code: str = "") -> Condition:
    """Return what a number with its prefix asks of quantities in a unit; raises ValueError where it cannot be read.

    `system` is None or, like `code`, empty for any unit; empty beside a code for a unit given by its code or name only.
    """
    prefix, value = split_prefix(text)
    if system is None or (system, code) == ("", ""):
        return numbers.comparison(name, f"{name}<", prefix, value)
    if not code:
        raise ValueError(f"the unit's code is missing: {text[:60]}")
    if system != ucum.SYSTEM or (canonical := ucum.canonical(code)) is None:
        unit = f"@{clean(system)}{SEPARATOR}{clean(code)}"
        return numbers.comparison(name, f"{name}{unit}{SEPARATOR}", prefix, value, unit)
    bounds = _bounds(prefix, value)
    unit = f"^{canonical.unit}"
    low, high = sorted(canonical.convert(bound) for bound in bounds)
    return numbers.compare(name, f"{name}{unit}{SEPARATOR}", prefix, (low, high), unit)


def _bounds(prefix: str, value: str) -> tuple[Decimal, Decimal]:
    if prefix in ("eq", "ne"):
        return implied_span(value)
    return approximate_span(value) if prefix == "ap" else (number(value), number(value))
