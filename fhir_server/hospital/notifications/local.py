"""References as this server means them: pure."""

from __future__ import annotations

from typing import Any


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
        relative = text.removeprefix(f"{base_url}/")
        if ":" in relative:
            del told["reference"]
        else:
            told["reference"] = relative
    return told
