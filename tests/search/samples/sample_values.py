"""Values of every datatype in three variants that no search takes for one another, and what searches for them.

Made from the tables of definitions, so that every element of every type can be filled.
"""

from __future__ import annotations

import copy
from typing import Any, Literal

from fhir_server.r4.definitions import Element, table
from tests.search.samples.sample_needs import AVOIDED, NEEDED, PAIRED

Variant = Literal["match", "other", "filler"]

UCUM = "http://unitsofmeasure.org"
_YEARS = {"match": "2021", "other": "2011", "filler": "2001"}
_NUMBERS = {"match": 7, "other": 5, "filler": 3}
_UNITS = {"Age": "a", "Duration": "h", "Distance": "m"}


def filled(name: str) -> dict[str, Any]:
    """Return the least that a type, or backbone, needs: its required elements."""
    collected: dict[str, Any] = {}
    for element in table(name).elements.values():
        chosen = element.choice is not None and any(
            other.name in collected for other in table(name).elements.values() if other.choice == element.choice
        )
        if element.min and not chosen:
            put(collected, element, value(element, "filler"))
    return {**collected, **copy.deepcopy(NEEDED.get(name, {}))}


def put(target: dict[str, Any], element: Element, content: Any) -> None:
    """Set an element, as an array where it repeats."""
    if element.path in PAIRED:
        target[element.name] = [content, filled(element.type)]
    else:
        target[element.name] = [content] if element.many else content


def value(element: Element, variant: Variant) -> Any:
    """Return a value for an element."""
    if element.type in _MAKERS:
        return _MAKERS[element.type](element, variant)
    if element.primitive:
        return variant
    return filled(element.type)


def _code(element: Element, variant: Variant) -> str:
    codes = sorted(element.codes or (), key=lambda code: (code.rpartition("|")[2] in AVOIDED, code))
    if len(codes) > 2 and codes[-1].rpartition("|")[2] in AVOIDED:
        codes.pop()
    if not codes:
        return variant
    return codes[{"match": 0, "other": min(1, len(codes) - 1), "filler": -1}[variant]]


def _coding(element: Element, variant: Variant) -> dict[str, Any]:
    if element.codes:
        system, bar, code = _code(element, variant).rpartition("|")
        return {"system": system, "code": code} if bar else {"code": code}
    return {"system": "urn:system", "code": variant}


def _concept(element: Element, variant: Variant) -> dict[str, Any]:
    return {"coding": [_coding(element, variant)]}


def _quantity(element: Element, variant: Variant) -> dict[str, Any]:
    return {"value": _NUMBERS[variant], "system": UCUM, "code": _UNITS.get(element.type, "mg")}


def _range(element: Element, variant: Variant) -> dict[str, Any]:
    return {"low": _quantity(element, variant), "high": _quantity(element, variant)}


def _reference(element: Element, variant: Variant) -> dict[str, Any]:
    types = [name for name in element.targets if name not in ("Resource", "Any")]
    return {"reference": f"{types[0] if types else 'Patient'}/{variant}"}


def _contact(element: Element, variant: Variant) -> dict[str, Any]:
    return {"system": "phone", "value": variant}


def _time(element: Element, variant: Variant) -> str:
    return f"{_YEARS[variant]}-03-01T10:00:00Z"


def _date(element: Element, variant: Variant) -> str:
    return f"{_YEARS[variant]}-03-01"


def _period(element: Element, variant: Variant) -> dict[str, Any]:
    return {"start": _date(element, variant), "end": f"{_YEARS[variant]}-04-01"}


def _timing(element: Element, variant: Variant) -> dict[str, Any]:
    return {"event": [_time(element, variant)]}


def _number(element: Element, variant: Variant) -> int:
    return _NUMBERS[variant]


def _uri(element: Element, variant: Variant) -> str:
    return f"https://example.org/{variant}"


_MAKERS: dict[str, Any] = {
    "code": _code,
    "Coding": _coding,
    "CodeableConcept": _concept,
    "Identifier": lambda element, variant: {"system": "urn:system", "value": variant},
    "ContactPoint": _contact,
    "HumanName": lambda element, variant: {"family": variant, "given": [variant], "text": variant},
    "Address": lambda element, variant: {"city": variant},
    "Annotation": lambda element, variant: {"text": variant},
    "Attachment": lambda element, variant: {"title": variant},
    "Narrative": lambda element, variant: {
        "status": "generated",
        "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{variant}</div>',
    },
    "Reference": _reference,
    "Quantity": _quantity,
    "SimpleQuantity": _quantity,
    "Age": _quantity,
    "Duration": _quantity,
    "Distance": _quantity,
    "Count": lambda element, variant: {"value": _NUMBERS[variant], "system": UCUM, "code": "1"},
    "Money": lambda element, variant: {"value": _NUMBERS[variant], "currency": "EUR"},
    "Range": _range,
    "SampledData": lambda element, variant: {
        "origin": {"value": 0},
        "period": 1,
        "dimensions": 1,
        "data": f"{_NUMBERS[variant]} {_NUMBERS[variant]}",
    },
    "Period": _period,
    "Timing": _timing,
    "boolean": lambda element, variant: variant == "match",
    "integer": _number,
    "positiveInt": _number,
    "unsignedInt": _number,
    "decimal": _number,
    "date": _date,
    "dateTime": _time,
    "instant": _time,
    "time": lambda element, variant: "10:00:00",
    "uri": _uri,
    "url": _uri,
    "canonical": _uri,
    "uuid": lambda element, variant: "urn:uuid:c757873d-ec9a-4326-a141-556f43239520",
    "oid": lambda element, variant: "urn:oid:1.2.3",
    "base64Binary": lambda element, variant: "AAAA",
    "xhtml": lambda element, variant: f'<div xmlns="http://www.w3.org/1999/xhtml">{variant}</div>',
}


def searched(kind: str, element: Element, content: Any) -> str:
    """Return the value of a search parameter of a kind that finds an element's content."""
    match kind:
        case "token":
            return _token(element, content)
        case "date":
            return str(content if isinstance(content, str) else content.get("start") or content["event"][0])[:4]
        case "quantity" if element.type == "SampledData":
            return str(content["data"].split()[0])
        case "quantity":
            amount = content.get("low", content) if isinstance(content, dict) else {"value": content}
            return str(amount["value"])
        case "reference":
            return str(content["reference"] if isinstance(content, dict) else content)
        case "string" if isinstance(content, dict):
            return str(content.get("family") or content.get("city") or content.get("text"))
    return str(content)


def _token(element: Element, content: Any) -> str:
    if isinstance(content, bool):
        return "true" if content else "false"
    if not isinstance(content, dict):
        return str(content)
    result = content.get("coding", [content])[0]
    code = result.get("code", result.get("value"))
    return f"{result['system']}|{code}" if "system" in result and element.type != "ContactPoint" else code
