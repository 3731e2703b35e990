"""What the paths of search parameters say of the elements they lead to: the code system of those that state none, and
whether there can be more than one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from fhir_server.r4.definitions import TABLE_NAMES, Element, code_systems, table

SPECIAL_VALUES = frozenset(
    {"http://terminology.hl7.org/CodeSystem/special-values", "http://hl7.org/fhir/special-values"}
)
"""The systems of true and false."""

_PATH = re.compile(r"[A-Z][A-Za-z]*(\.[a-z][A-Za-z]*)+")


@lru_cache(maxsize=4096)
def implicit_systems(paths: tuple[str, ...]) -> Mapping[str, str]:
    """Return the system of each code that elements of type code at these paths may have.

    They state no system: their value set says where the codes are from. https://hl7.org/fhir/R4/search.html#token
    """
    systems: dict[str, str] = {}
    for path in paths:
        elements = _elements(path)
        if elements and elements[-1].type == "code" and elements[-1].binding is not None:
            for system, codes in code_systems(elements[-1].binding).items():
                systems.update(dict.fromkeys(codes, system))
    return systems


@lru_cache(maxsize=4096)
def is_single(paths: tuple[str, ...]) -> bool:
    """Return whether a resource has at most one element at these paths, as far as they are plain."""
    elements = _elements(paths[0]) if len(paths) == 1 else ()
    return bool(elements) and not any(element.many for element in elements)


@lru_cache(maxsize=4096)
def is_one_element(paths: tuple[str, ...], *, primitive: bool) -> bool:
    """Return whether a resource has at most one element at all these paths together: one that does not repeat, or the
    types of one choice; of a primitive type where `primitive`.
    """
    plain = {cast[1] if (cast := _CAST.fullmatch(path)) else path for path in paths}
    first = plain.pop()
    owner, _, name = first.rpartition(".")
    above = _elements(owner) if "." in owner else ()
    if plain or not _PATH.fullmatch(first) or ("." in owner and not above) or any(each.many for each in above):
        return False
    elements = table(above[-1].type if above else owner).elements.values()
    last = [each for each in elements if name in (each.name, each.choice)]
    return bool(last) and not any(each.many or (primitive and not each.primitive) for each in last)


_FILTERED = re.compile(r"\.where\([^()]*(?:\([^()]*\)[^()]*)?\)")
_CAST = re.compile(r"\(?([\w.]+?)(?: as |\.as\(|\.ofType\()(\w+)\)")
_CANONICAL = frozenset({"canonical", "uri"})


@lru_cache(maxsize=4096)
def leads_to_canonical(paths: tuple[str, ...]) -> bool:
    """Return whether elements at these paths may be canonical references: URLs, which others have as their own."""
    return any(_may_be_canonical(_FILTERED.sub("", path)) for path in paths)


def _may_be_canonical(path: str) -> bool:
    cast = _CAST.fullmatch(path)
    if cast is not None:
        return cast[2] in _CANONICAL
    owner, _, name = path.rpartition(".")
    if "." in owner:
        above = _elements(owner)
        owner = above[-1].type if above else ""
    elements = table(owner).elements.values() if owner in TABLE_NAMES else ()
    return any(name in (each.name, each.choice) and each.type in _CANONICAL for each in elements)


def _elements(path: str) -> tuple[Element, ...]:
    """Return the elements along a plain path; none for other expressions."""
    if not _PATH.fullmatch(path):
        return ()
    type_name, *names = path.split(".")
    elements: list[Element] = []
    for name in names:
        element = table(type_name).elements.get(name)
        if element is None:
            return ()
        elements.append(element)
        if element.primitive and name != names[-1]:
            return ()
        type_name = element.type
    return tuple(elements)
