"""Those of R4's own code systems and value sets that the ecosystem tests refer to. https://hl7.org/fhir/R4"""

from __future__ import annotations

from typing import Any

_SYSTEMS = {
    "administrative-gender": ["Male", "Female", "Other", "Unknown"],
    "publication-status": ["Draft", "Active", "Retired", "Unknown"],
}


def _code_system(name: str, displays: list[str]) -> dict[str, Any]:
    return {
        "resourceType": "CodeSystem",
        "url": f"http://hl7.org/fhir/{name}",
        "version": "4.0.1",
        "name": "".join(part.title() for part in name.split("-")),
        "status": "active",
        "caseSensitive": True,
        "content": "complete",
        "concept": [{"code": display.lower(), "display": display} for display in displays],
    }


def _value_set(name: str) -> dict[str, Any]:
    return {
        "resourceType": "ValueSet",
        "url": f"http://hl7.org/fhir/ValueSet/{name}",
        "version": "4.0.1",
        "status": "active",
        "compose": {"include": [{"system": f"http://hl7.org/fhir/{name}"}]},
    }


R4 = [*(_code_system(name, displays) for name, displays in _SYSTEMS.items()), *map(_value_set, _SYSTEMS)]
