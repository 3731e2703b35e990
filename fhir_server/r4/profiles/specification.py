"""What the base specification says of the elements that a profile constrains, so that a plan leaves it out."""

from __future__ import annotations

from functools import lru_cache

from fhir_server.r4.official import official_resource
from fhir_server.r4.profiles.definitions import STRUCTURES
from fhir_server.r4.profiles.run import Json


@lru_cache(maxsize=64)
def _elements(type_name: str) -> dict[str, Json]:
    structure = official_resource("StructureDefinition", STRUCTURES + type_name)
    elements = ((structure or {}).get("snapshot") or {}).get("element") or []
    return {each["path"]: _lean(each) for each in elements}


_READ = ("min", "max", "type", "binding", "constraint")


def _lean(element: Json) -> Json:
    return {name: element[name] for name in _READ if name in element}


def base_element(element: Json) -> Json | None:
    """Return what R4 says of the element that a snapshot's element constrains; None where R4 has no such element."""
    path = (element.get("base") or {}).get("path") or element.get("path")
    return _elements(str(path).partition(".")[0]).get(str(path)) if path else None
