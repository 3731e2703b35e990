"""JSON Merge Patch on a resource (RFC 7396). https://www.rfc-editor.org/rfc/rfc7396"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fhir_server.errors import BadRequest
from fhir_server.r4.patching.identity import require_same_identity
from fhir_server.work.budget import spend

Resource = dict[str, Any]


@dataclass(frozen=True, slots=True)
class MergePatch:
    """A parsed merge patch, kept apart from a resource, which is a plain object too."""

    value: Any


def apply(resource: Resource, patch: MergePatch) -> Resource:
    """Return the resource merged with the patch, leaving the given one as it is.

    Raises BadRequest where the patch is no object; Unprocessable where the result is another resource.
    """
    if not isinstance(patch.value, dict):
        raise BadRequest("A JSON Merge Patch of a resource is an object.", code="structure")
    patched = merge(resource, patch.value)
    require_same_identity(resource, patched)
    return patched


def merge(target: object, patch: dict[str, Any]) -> dict[str, Any]:
    """Return a target merged with a patch that is an object: section 2 of the RFC, without recursion.

    Objects are merged, null removes a member, and anything else, arrays included, replaces what was there.
    """
    merged = _members(target)
    pending = [(merged, patch)]
    while pending:
        node, changes = pending.pop()
        spend(1 + len(changes) + len(node))
        for name, value in changes.items():
            if value is None:
                node.pop(name, None)
            elif isinstance(value, dict):
                node[name] = _members(node.get(name))
                pending.append((node[name], value))
            else:
                node[name] = value
    return merged


def _members(value: object) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else {}
