"""Resources of any type, generated from the element tables: right in structure, their values meaning nothing."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from fhir_server.r4.definitions import RESOURCE_TYPES, Element, table
from fhir_server.r4.values import decimal

_TEXT = st.text(
    st.characters(codec="utf-8", exclude_characters="\ufffe\uffff", exclude_categories=("Cc", "Cs"))
    | st.sampled_from("\t\n\r<>&\"' "),
    min_size=1,
    max_size=8,
)
_DECIMALS = st.from_regex(r"-?(0|[1-9][0-9]{0,8})(\.[0-9]{1,6}([eE][+-]?[0-9])?)", fullmatch=True).map(decimal)
_DIVS = _TEXT.map(lambda text: text.replace("&", "&amp;").replace("<", "&lt;").replace("]]>", "")).map(
    lambda text: f'<div xmlns="http://www.w3.org/1999/xhtml"><p title=">">{text}<br/></p><!-- c --></div>'
)
_PRIMITIVES = {
    "boolean": st.booleans(),
    "integer": st.integers(-(2**31), 2**31 - 1),
    "positiveInt": st.integers(1, 2**31 - 1),
    "unsignedInt": st.integers(0, 2**31 - 1),
    "decimal": _DECIMALS | st.integers(-(10**6), 10**6),
}
_SIBLINGS = st.fixed_dictionaries(
    {"extension": st.just([{"url": "urn:x", "valueDecimal": decimal("1.00")}])}
) | st.fixed_dictionaries({"id": st.just("a")})


@st.composite
def resources(draw: st.DrawFn, depth: int = 3) -> dict[str, Any]:
    """Generate a resource, its properties in the order of the specification."""
    name = draw(st.sampled_from(sorted(RESOURCE_TYPES)))
    return {"resourceType": name, **draw(_objects(name, depth))}


@st.composite
def _objects(draw: st.DrawFn, type_name: str, depth: int) -> dict[str, Any]:
    elements = list(table(type_name).elements.values())
    if depth <= 0:
        elements = [element for element in elements if element.primitive] or elements[:1]
    chosen = draw(st.lists(st.sampled_from(elements), min_size=1, max_size=4, unique_by=lambda e: e.choice or e.name))
    result: dict[str, Any] = {}
    for element in sorted(chosen, key=elements.index):
        _add(draw, result, element, depth)
    # What was chosen may have come to nothing.
    return result or draw(_objects(type_name, 0))


def _add(draw: st.DrawFn, result: dict[str, Any], element: Element, depth: int) -> None:
    if element.type == "xhtml":
        result[element.name] = draw(_DIVS)
    elif element.attribute:
        result[element.name] = draw(_TEXT)
    elif element.primitive:
        _add_primitives(draw, result, element)
    elif depth > 0:
        content = resources(depth - 1) if element.type == "Resource" else _objects(element.type, depth - 1)
        result[element.name] = draw(st.lists(content, min_size=1, max_size=2)) if element.many else draw(content)


def _add_primitives(draw: st.DrawFn, result: dict[str, Any], element: Element) -> None:
    value = _PRIMITIVES.get(element.type, _TEXT)
    pairs = st.tuples(value, st.none()) | st.tuples(value, _SIBLINGS) | st.tuples(st.none(), _SIBLINGS)
    if element.many:
        drawn = draw(st.lists(pairs, min_size=1, max_size=3))
        for name, items in ((element.name, [v for v, _ in drawn]), ("_" + element.name, [s for _, s in drawn])):
            if any(item is not None for item in items):
                result[name] = items
    else:
        for name, item in zip((element.name, "_" + element.name), draw(pairs), strict=True):
            if item is not None:
                result[name] = item
