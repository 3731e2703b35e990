"""A resource's XML, written as text: every decimal and the narrative stand in it as they were stored."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from fhir_server.errors import Unprocessable
from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.r4.values import TextDecimal
from fhir_server.r4.xml.shape import EXTENSION, FHIR, Property, Shape, attributes, shape
from fhir_server.work.budget import spend

Json = dict[str, Any]

_STEPS = 8
"""What an object counts for."""

# White space other than a blank is written as references, else a parser would read it as a blank. What XML 1.0 cannot
# hold at all becomes the replacement character: writing must not fail for what validation should have refused.
_SPECIAL = re.compile('[&<>"\x00-\x1f\ud800-\udfff\ufffe\uffff]')
_DECLARATION = re.compile(r"\A<\?xml\s[^>]*\?>")
_REFERENCES = {
    "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;",
}  # fmt: skip


def to_xml(resource: Json, *, pretty: bool = False) -> bytes:
    """Return the resource as an XML document in UTF-8, its elements in the order of the specification.

    `pretty` indents it; the narrative is never touched. Raises Unprocessable for a property that R4 does not have.
    """
    parts = ['<?xml version="1.0" encoding="UTF-8"?>']
    _write_resource(parts, resource, "\n" if pretty else "", f' xmlns="{FHIR}"')
    return "".join(parts).encode("utf-8", "replace")


def _write_resource(parts: list[str], resource: Json, gap: str, declaration: str = "") -> None:
    name = resource.get("resourceType", "")
    if name not in RESOURCE_TYPES:
        raise Unprocessable(f"{name!r} is not a resource type of R4.", expression="resourceType")
    parts.append(f"{gap}<{name}{declaration}>")
    _write_children(parts, resource, shape(name), name, gap and gap + "  ")
    parts.append(f"{gap}</{name}>")


def _write_children(parts: list[str], value: Json, properties: Shape, type_name: str, gap: str) -> None:
    spend(_STEPS)
    for entry in _in_order(value, properties, type_name):
        if entry.form == "attribute":
            continue
        child = value.get(entry.name)
        if entry.form == "value":
            _write_primitives(parts, entry, child, value.get("_" + entry.name), gap)
        elif entry.form == "xhtml":
            # A declaration may begin the narrative's own text, but not stand inside a document.
            parts.append(gap + _DECLARATION.sub("", value.get(entry.name, "")))
        else:
            items: list[Any] = child if isinstance(child, list) else [child]
            for item in items:
                _write_element(parts, entry, item, gap)


def _in_order(value: Json, properties: Shape, type_name: str) -> list[Property]:
    properties_by_name: dict[str, Property] = {}
    for key in value:
        entry = properties.get(key.removeprefix("_"))
        if entry is None and key == "resourceType":
            continue
        if entry is None:
            raise Unprocessable(f"{type_name} has no element {key!r}.", expression=f"{type_name}.{key}")
        properties_by_name[entry.name] = entry
    return sorted(properties_by_name.values(), key=_position)


def _position(entry: Property) -> int:
    return entry.position


def _write_element(parts: list[str], entry: Property, item: Json, gap: str) -> None:
    inner = gap and gap + "  "
    if entry.form == "resource":
        parts.append(f"{gap}<{entry.name}>")
        _write_resource(parts, item, inner)
        parts.append(f"{gap}</{entry.name}>")
        return
    parts.append(f"{gap}<{entry.name}")
    present = [name for name in attributes(entry.type) if name in item]
    parts.extend(f' {name}="{_text(item[name])}"' for name in present)
    if len(item) == len(present):
        parts.append("/>")
        return
    parts.append(">")
    _write_children(parts, item, shape(entry.type), entry.type, inner)
    parts.append(f"{gap}</{entry.name}>")


def _write_primitives(parts: list[str], entry: Property, value: Any, sibling: Any, gap: str) -> None:
    if not isinstance(value, list) and not isinstance(sibling, list):
        _write_primitive(parts, entry.name, value, sibling, gap)
        return
    values, siblings = value or [], sibling or []
    for index in range(max(len(values), len(siblings))):
        item = values[index] if index < len(values) else None
        beside = siblings[index] if index < len(siblings) else None
        _write_primitive(parts, entry.name, item, beside, gap)


def _write_primitive(parts: list[str], name: str, value: Any, sibling: Json | None, gap: str) -> None:
    parts.append(f"{gap}<{name}")
    if sibling and "id" in sibling:
        parts.append(f' id="{_text(sibling["id"])}"')
    if value is not None:
        parts.append(f' value="{_text(value)}"')
    extensions = sibling.get("extension") if sibling else None
    if not extensions:
        parts.append("/>")
        return
    parts.append(">")
    for extension in extensions:
        _write_element(parts, EXTENSION, extension, gap and gap + "  ")
    parts.append(f"{gap}</{name}>")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return _SPECIAL.sub(_escape, value) if _SPECIAL.search(value) else value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, TextDecimal):
        return value.text
    if isinstance(value, Decimal | int):
        return str(value)
    raise Unprocessable(f"A {type(value).__name__} cannot be the value of a primitive.")


def _escape(match: re.Match[str]) -> str:
    return _REFERENCES.get(match[0], "\ufffd")
