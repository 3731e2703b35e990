"""References as this server means them: pure."""

from __future__ import annotations

from typing import Any

from fhir_server.r4.references import is_absolute, literal


def local(node: Any, base_url: str) -> Any:
    """Return a resource in which every reference is to something here.

    What stands below the base of this server is made relative; a reference to another server is left out, or a patient
    who has the same id there would be taken for the one here.
    """
    if isinstance(node, list):
        return [local(item, base_url) for item in node]
    if not isinstance(node, dict):
        return node
    told = {name: local(value, base_url) for name, value in node.items()}
    text = told.get("reference")
    if isinstance(text, str):
        named = literal(text, base_url)
        if named.base if named else is_absolute(text):
            del told["reference"]
        elif named is not None:
            told["reference"] = text.removeprefix(f"{base_url}/")
    return told
