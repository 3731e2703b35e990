"""The code systems of elements that state none: those of type code, whose value set says where its codes are from.

https://hl7.org/fhir/R4/search.html#token
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from fhir_server.r4.definitions import Element, code_systems, table

SPECIAL_VALUES = frozenset(
    {"http://terminology.hl7.org/CodeSystem/special-values", "http://hl7.org/fhir/special-values"}
)
"""The system of true and false."""

_PATH = re.compile(r"[A-Z][A-Za-z]*(\.[a-z][A-Za-z]*)+")


@lru_cache(maxsize=4096)
def implicit_systems(paths: tuple[str, ...]) -> Mapping[str, str]:
    """Return the system of each code that elements of type code at these paths may have."""
    found: dict[str, str] = {}
    for path in paths:
        element = _element(path)
        if element is not None and element.type == "code" and element.binding is not None:
            for system, codes in code_systems(element.binding).items():
                found.update(dict.fromkeys(codes, system))
    return found


def _element(path: str) -> Element | None:
    """Return the element at the end of a plain path; None for other expressions."""
    if not _PATH.fullmatch(path):
        return None
    type_name, *names = path.split(".")
    element: Element | None = None
    for name in names:
        try:
            element = table(type_name).elements.get(name)
        except KeyError:
            return None
        if element is None:
            return None
        type_name = element.type
    return element
