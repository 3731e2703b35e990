"""The patch interaction: JSON Patch, JSON Merge Patch, XML Patch and FHIRPath Patch, by id or by criteria.

https://hl7.org/fhir/R4/http.html#patch
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fhir_server.engine import versions, writes
from fhir_server.engine.context import Context, Request, Response
from fhir_server.engine.interactions.conditional import criteria, find_one
from fhir_server.engine.interactions.preconditions import require_match
from fhir_server.engine.interactions.update import next_version
from fhir_server.errors import BadRequest, Gone, NotFound, Unprocessable
from fhir_server.r4 import values
from fhir_server.r4.patching import fhirpath_patch, json_patch, merge_patch, xml_patch
from fhir_server.r4.patching.formats import JSON_PATCH, MERGE_PATCH, XML_PATCH
from fhir_server.r4.patching.merge_patch import MergePatch
from fhir_server.r4.patching.xml_patch import XmlPatch
from fhir_server.store.resources.resources import Version
from fhir_server.work.budget import spend
from fhir_server.work.threads import sized


async def patch(context: Context, request: Request, resource_type: str, resource_id: str) -> Response:
    """Apply the patch to the current version and store the result, which must be valid."""
    if context.pending is None:  # a transaction has checked all its entries before
        await sized(request.size, check, context, request)

    def plan(previous: Version | None) -> writes.Write:
        if previous is None:
            raise NotFound(f"{resource_type}/{resource_id} does not exist.")
        if previous.deleted:
            raise Gone(f"{resource_type}/{resource_id} has been deleted.")
        require_match(request, previous)
        stored = values.decode(previous.json)
        patched = _patched(context, request, values.decode(previous.json))
        _require_same(patched, resource_type, resource_id)
        patched = _without_stale_narrative(stored, patched)
        versions.require_valid(context, patched)
        return next_version(context, patched, resource_id, previous, "PATCH")

    response = await writes.replace(context, resource_type, resource_id, plan, "patch", size=request.size)
    return await writes.visible_response(context, resource_type, resource_id, response)


async def conditional_patch(context: Context, request: Request, resource_type: str, query: str) -> Response:
    """Patch the one resource that meets the criteria; raises NotFound for none, PreconditionFailed for several."""
    existing = await find_one(context, await criteria(context, resource_type, query))
    if existing is None:
        raise NotFound(f"{resource_type}?{query} finds nothing to patch.")
    return await patch(context, request, resource_type, existing.id)


def check(context: Context, request: Request) -> None:
    """Raise BadRequest unless the body is a patch, Unprocessable where its Parameters are not valid."""
    body = request.resource
    if isinstance(body, dict) and body.get("resourceType") == "Parameters":
        versions.require_valid(context, body, request.place)
    elif not isinstance(body, list | MergePatch | XmlPatch):
        raise BadRequest(
            f"A patch is a JSON Patch array ({JSON_PATCH}), a JSON Merge Patch ({MERGE_PATCH}), an XML Patch "
            f"({XML_PATCH}) or a Parameters resource (FHIRPath Patch)."
        )
    elif not isinstance(body, XmlPatch):  # whose levels have been counted when it was read
        _require_shallow(body, context.services.settings.max_depth + _LEVELS_AROUND)


_LEVELS_AROUND = 2
"""Levels of a JSON Patch around its values: the list and the operation."""


def _require_shallow(patch: list[Any] | MergePatch, most: int) -> None:
    """Raise BadRequest for a patch with more levels than a resource may have, before others recurse into it."""
    level = [patch.value if isinstance(patch, MergePatch) else patch]
    for _ in range(most + 1):
        spend(len(level))
        level = [item for node in level for item in _items(node)]
        if not level:
            return
    raise BadRequest(f"A patch has at most {most} levels.", code="too-costly")


def _items(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _patched(context: Context, request: Request, resource: dict[str, Any]) -> dict[str, Any]:
    body = request.resource
    if isinstance(body, XmlPatch):
        return xml_patch.apply(resource, body, max_depth=context.services.settings.max_depth)
    if isinstance(body, MergePatch):
        return merge_patch.apply(resource, body)
    return json_patch.apply(resource, body) if isinstance(body, list) else fhirpath_patch.apply(resource, body)


def _require_same(patched: dict[str, Any], resource_type: str, resource_id: str) -> None:
    if patched.get("resourceType") != resource_type or patched.get("id") != resource_id:
        raise Unprocessable("A patch may not change the resource's type or id.", expression=f"{resource_type}.id")


_NOT_TOLD = ("meta", "text")
"""What a narrative does not tell of."""


def _without_stale_narrative(stored: dict[str, Any], patched: dict[str, Any]) -> dict[str, Any]:
    """Return the patched resource without the narrative of what it said before, unless the patch has renewed that.

    A patch must not leave a text that is unsafe to rely on. What was generated from the data can be generated again;
    what says more than the data would be lost, so that is Unprocessable. https://hl7.org/fhir/R4/http.html#patch
    """
    text = patched.get("text")
    if text is None or text != stored.get("text") or _data(patched) == _data(stored):
        return patched
    match text.get("status") if isinstance(text, dict) else None:
        case "generated" | "extensions":
            return {name: value for name, value in patched.items() if name != "text"}
        case "additional":
            raise Unprocessable(
                "The narrative says more than the data, so it must be patched (or removed) together with the data.",
                expression=f"{patched['resourceType']}.text",
                code="business-rule",
            )
    return patched


def _data(resource: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in resource.items() if name not in _NOT_TOLD}
