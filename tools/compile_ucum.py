"""Compile the UCUM unit definitions into the file that `fhir_server.r4.ucum` reads.

    python -m tools.compile_ucum

They are taken from `ucum-essence.xml`, which the package `ucumvert` carries. The same file always gives the same bytes.
"""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

TARGET = Path(__file__).resolve().parent.parent / "fhir_server" / "r4" / "data" / "ucum.json"
_NAMESPACE = {"u": "http://unitsofmeasure.org/ucum-essence"}


def compile_units(essence: bytes) -> dict[str, Any]:
    """Return prefixes by code, base units, and units by code: whether metric, their value, and the unit of that."""
    root = ElementTree.fromstring(essence)
    prefixes = {each.attrib["Code"]: _value(each).attrib["value"] for each in root.findall("u:prefix", _NAMESPACE)}
    base = sorted(each.attrib["Code"] for each in root.findall("u:base-unit", _NAMESPACE))
    units = {each.attrib["Code"]: _unit(each) for each in root.findall("u:unit", _NAMESPACE)}
    return {"base": base, "prefixes": dict(sorted(prefixes.items())), "units": dict(sorted(units.items()))}


def _value(element: ElementTree.Element) -> ElementTree.Element:
    value = element.find("u:value", _NAMESPACE)
    assert value is not None, element.attrib["Code"]
    return value


def _unit(unit: ElementTree.Element) -> list[Any]:
    value = _value(unit)
    metric = unit.attrib["isMetric"] == "yes"
    function = value.find("u:function", _NAMESPACE)
    if function is not None:
        return [metric, function.attrib["value"], function.attrib["Unit"], function.attrib["name"]]
    if unit.attrib.get("isArbitrary") == "yes" and value.attrib["Unit"] == "1":
        # An arbitrary unit is comparable with itself only: a base of its own.
        return [metric]
    return [metric, value.attrib["value"], value.attrib["Unit"]]


def main() -> None:
    """Write the file."""
    essence = files("ucumvert").joinpath("vendor", "ucum-essence.xml").read_bytes()
    text = json.dumps(compile_units(essence), separators=(",", ":"), ensure_ascii=True)
    TARGET.write_text(text + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
