"""A resource without a person: pure. What stays of an invoice says what was paid, not by whom."""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from typing import Any

ERASED = {"display": "Erased"}
"""What stands where somebody was named."""

_FREE_TEXT = ("text", "note", "contained")
"""Where anybody may have written anything of anyone."""
_REFERENCE = re.compile(r"(?:.*/)?([A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64})(?:/_history/.+)?")


def anonymised(resource: Mapping[str, Any], gone: Set[str], *, wholly: bool) -> dict[str, Any]:
    """Return the resource with nobody in the place of those `gone`, which are references such as Patient/1.

    `wholly`: also without the places for free text, where the resource was about nobody else.
    """
    kept = {name: value for name, value in resource.items() if not (wholly and name in _FREE_TEXT)}
    result = _without(kept, gone)
    assert isinstance(result, dict)
    return result


def _without(node: Any, gone: Set[str]) -> Any:
    if isinstance(node, list):
        return [_without(item, gone) for item in node]
    if not isinstance(node, dict):
        return node
    text = node.get("reference")
    match = _REFERENCE.fullmatch(text) if isinstance(text, str) else None
    if match and match[1] in gone:
        return dict(ERASED)
    return {name: _without(value, gone) for name, value in node.items()}
