"""What a unique index refuses: an id, a condition or a claim that another resource has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from fhir_server.errors import Conflict

DUPLICATE_KEY = 11000
"""The database's error code for a key that is taken."""


class AlreadyExists(Conflict):
    """Another resource has the id, or was made under the same condition: `key` is that id or condition."""

    def __init__(self, kind: Literal["id", "condition"], key: str = "") -> None:
        super().__init__(f"Another resource has the same {kind}.", code="duplicate")
        self.kind = kind
        self.key = key


class Claimed(Conflict):
    """Another resource has what this one claims for itself alone."""

    def __init__(self, claim: str) -> None:
        super().__init__(f"Another resource has claimed {claim[:200]!r} for itself.", code="duplicate")


def taken_key(fault: Mapping[str, Any]) -> AlreadyExists | Claimed:
    """Return what the details of a duplicate key error say to a caller."""
    held = fault.get("keyValue", {})
    if "claims" in fault.get("keyPattern", ()):
        return Claimed(str(held.get("claims", "")))
    if "conditions" in fault.get("keyPattern", ()):
        return AlreadyExists("condition", str(held.get("conditions", "")))
    return AlreadyExists("id", str(held.get("_id", "")))
