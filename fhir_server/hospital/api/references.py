"""Resources as this server means them: what their references name here is named relative to the FHIR base. Pure."""

from __future__ import annotations

from typing import Any

from fhir_server.r4 import values
from fhir_server.r4.references import local


def decoded(json: bytes, base_url: str) -> dict[str, Any]:
    """Return the resource that the JSON says, with relative references to what is on this server."""
    resource: dict[str, Any] = relative(values.decode(json), base_url)
    return resource


def relative(node: Any, base_url: str) -> Any:
    """Return a resource in which references to what stands below the base of this server are relative to it.

    A reference that is absolute still is to another server: the mappings pass it over, or who has the same id there
    would be taken for the one here.
    """
    if isinstance(node, list):
        return [relative(item, base_url) for item in node]
    if not isinstance(node, dict):
        return node
    members = {name: relative(value, base_url) for name, value in node.items()}
    text = members.get("reference")
    if isinstance(text, str) and local(text, base_url) is not None:
        members["reference"] = text.removeprefix(f"{base_url}/")
    return members
