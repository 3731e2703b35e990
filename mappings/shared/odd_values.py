"""Values that others wrote and that the tables cannot hold: found, and told once in the log.

Only names are told, never the values, which may be anybody's personal data.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

import structlog

from fhir_server.own_urls import path_of
from mappings.shared.extensions import EXTENSIONS, TIME_ZONE_URL, ExtensionDefinition
from mappings.shared.zones import is_zone

_REMEMBERED = 1000

_DEFINITIONS = {f"StructureDefinition/{definition.name}": definition for definition in EXTENSIONS}
_logged: OrderedDict[tuple[str, ...], None] = OrderedDict()

log = structlog.get_logger(__name__)


def note(resource: Mapping[str, Any], columns: Iterable[str]) -> tuple[str, ...]:
    """Return the names of the odd columns and extensions of a resource, and log them once for its version."""
    odd = (*columns, *extensions(resource))
    if odd:
        meta = resource.get("meta")
        version = str(meta.get("versionId", "")) if isinstance(meta, Mapping) else ""
        place = (str(resource.get("resourceType", "")), str(resource.get("id", "")), version)
        if place not in _logged:
            _logged[place] = None
            if len(_logged) > _REMEMBERED:
                _logged.popitem(last=False)
            log.warning("row.odd", resource="/".join(place[:2]), version=version, odd=list(odd))
    return odd


def extensions(element: Mapping[str, Any]) -> list[str]:
    """Return the names of the extensions on an element that are the hospital's, but hold no value of their type."""
    names = []
    for item in element.get("extension") or ():
        url = item.get("url")
        if url == TIME_ZONE_URL and not is_zone(item.get("valueCode")):
            names.append("timezone")
        definition = _DEFINITIONS.get(path_of(url) or "")
        if definition is not None and typed_value(item, definition) is None:
            names.append(definition.name)
    return names


def typed_value(item: Mapping[str, Any], definition: ExtensionDefinition) -> Any:
    """Return the value of an extension where it is of the type that its definition says, else None."""
    value = item.get(f"value{definition.value_type[0].upper()}{definition.value_type[1:]}")
    if definition.value_type in ("integer", "positiveInt"):
        least = 1 if definition.value_type == "positiveInt" else -(2**31)
        return value if isinstance(value, int) and not isinstance(value, bool) and least <= value < 2**31 else None
    if definition.value_type in ("Money", "Reference", "Duration"):
        return value if isinstance(value, Mapping) else None
    return value if isinstance(value, str) and value.strip() else None
