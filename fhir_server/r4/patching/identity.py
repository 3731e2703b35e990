"""What no patch may change: which resource it is. https://hl7.org/fhir/R4/http.html#patch"""

from __future__ import annotations

from typing import Any

from fhir_server.errors import Unprocessable


def require_same_identity(before: dict[str, Any], after: Any) -> None:
    """Raise Unprocessable where a patch left no resource, or one of another type or id."""
    if not isinstance(after, dict):
        raise Unprocessable("A patch must leave a resource.", code="structure")
    if after.get("resourceType") != before.get("resourceType"):
        raise Unprocessable("A patch may not change the resource's type.", expression="resourceType")
    if after.get("id") != before.get("id"):
        raise Unprocessable("A patch may not change the resource's id.", expression=f"{before.get('resourceType')}.id")
