"""JSON Patch on a resource (RFC 6902). https://hl7.org/fhir/R4/http.html#patch"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from jsonpatch import InvalidJsonPatch, JsonPatch, JsonPatchException, JsonPatchTestFailed
from jsonpointer import JsonPointer, JsonPointerException

from fhir_server.errors import BadRequest, Unprocessable
from fhir_server.r4.patching.identity import require_same_identity
from fhir_server.work.budget import spend

Resource = dict[str, Any]

# Each `copy` can double what is there; this many values and characters in all are enough for any honest patch.
_MOST_COPIED = 1_000_000
_MOST_OPERATIONS = 10_000
_STEPS = 50
"""What an operation counts for."""


def apply(resource: Resource, operations: object) -> Resource:
    """Return the resource changed by the operations, leaving the given one as it is.

    Raises BadRequest where the operations are no JSON Patch; Unprocessable where one does not fit the resource, a
    `test` fails, or the result is another resource. Either way nothing is changed.
    """
    if not isinstance(operations, list):
        raise BadRequest("A JSON Patch is an array of operations.", code="structure")
    patched: Any = deepcopy(resource)
    copied = 0
    if len(operations) > _MOST_OPERATIONS:
        raise Unprocessable(f"A patch has at most {_MOST_OPERATIONS} operations.", code="too-costly")
    for number, operation in enumerate(operations):
        spend(_STEPS)
        parsed = _parsed(number, operation)
        if operation["op"] == "copy":
            copied += _size(_source(patched, operation))
            if copied > _MOST_COPIED:
                raise Unprocessable(f"Operation {number} copies too much.", code="too-costly")
        patched = _applied(number, operation, parsed, patched)
    require_same_identity(resource, patched)
    return patched  # type: ignore[no-any-return]


def _parsed(number: int, operation: object) -> JsonPatch:
    if not isinstance(operation, dict):
        raise BadRequest(f"Operation {number} is not an object.", code="structure")
    try:
        JsonPointer(operation.get("from", ""))
        return JsonPatch([operation])
    except (JsonPatchException, JsonPointerException, TypeError, ValueError) as error:
        raise BadRequest(f"Operation {number} is not a JSON Patch operation: {error}", code="structure") from error


def _applied(number: int, operation: Resource, patch: JsonPatch, resource: Any) -> Any:
    # The library's own texts repeat the resource's content, which is personal data.
    what = f"Operation {number} ({operation['op']} {str(operation.get('path'))[:200]!r})"
    try:
        return patch.apply(resource, in_place=True)
    except InvalidJsonPatch as error:
        raise BadRequest(f"{what} is malformed: {error}", code="structure") from error
    except JsonPatchTestFailed as error:
        raise Unprocessable(f"{what} failed: the value is another one.", code="processing") from error
    except (JsonPatchException, JsonPointerException, TypeError, RecursionError) as error:
        raise Unprocessable(f"{what} does not fit the resource.", code="processing") from error


def _source(resource: Any, operation: Resource) -> Any:
    try:
        return JsonPointer(operation.get("from", "")).resolve(resource)
    except (JsonPointerException, TypeError, AttributeError):
        return None  # applying the operation will say so


def _size(value: Any) -> int:
    total, pending = 0, [value]
    while pending:
        current = pending.pop()
        total += 1
        if isinstance(current, dict):
            pending.extend(current.values())
        elif isinstance(current, list):
            pending.extend(current)
        elif isinstance(current, str):
            total += len(current)
    return total
