"""$meta, $meta-add and $meta-delete: profiles, tags and security labels of a resource.

R4 no longer says that these change a resource without a new version, as its drafts did. Here they make one, so that
the bytes of a version, its ETag and its history never change. https://hl7.org/fhir/R4/resource-operation-meta.html
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fhir_server.engine import versions, writes
from fhir_server.engine.context import Context, Request, Response
from fhir_server.engine.interactions.preconditions import require_match
from fhir_server.engine.interactions.read import read, vread
from fhir_server.engine.interactions.update import next_version
from fhir_server.engine.operations.inputs import Inputs
from fhir_server.engine.operations.meta_in_use import meta_in_use
from fhir_server.engine.routes import Route
from fhir_server.errors import BadRequest, Gone, NotFound
from fhir_server.r4 import values
from fhir_server.store.resources.resources import Version

Meta = dict[str, Any]
_SETS = ("profile", "security", "tag")


async def meta(context: Context, request: Request, route: Route, inputs: Inputs) -> Response:
    """Answer with the meta of the current version, or of the version in the URL; raises NotFound or Gone.

    Without an id it is about all that is in use.
    """
    if route.id is None:
        return await meta_in_use(context, route.type)
    resource_type, resource_id = route.type or "", route.id
    context.access.require("read" if route.version is None else "vread", resource_type)
    plain = Request("GET", request.path)
    if route.version is None:
        response = await read(context, plain, resource_type, resource_id)
    else:
        response = await vread(context, plain, resource_type, resource_id, route.version)
    return _answer(values.decode(response.json or b"{}"), response)


async def meta_add(context: Context, request: Request, route: Route, inputs: Inputs) -> Response:
    """Add what the parameter `meta` holds and the resource lacks; answers with the resulting meta."""
    return await _change(context, request, route, lambda stored: _with(stored, inputs.one("meta")))


async def meta_delete(context: Context, request: Request, route: Route, inputs: Inputs) -> Response:
    """Take away what the parameter `meta` holds; answers with the resulting meta."""
    return await _change(context, request, route, lambda stored: _without(stored, inputs.one("meta")))


async def _change(context: Context, request: Request, route: Route, change: Callable[[Meta], Meta]) -> Response:
    resource_type, resource_id = route.type or "", route.id or ""
    context.access.require("update", resource_type)

    def plan(previous: Version | None) -> writes.Write:
        if previous is None:
            raise NotFound(f"{resource_type}/{resource_id} does not exist.")
        if previous.deleted:
            raise Gone(f"{resource_type}/{resource_id} has been deleted.")
        require_match(request, previous)
        resource = values.decode(previous.json)
        resource["meta"] = change(resource["meta"])
        versions.require_valid(context, resource)
        return next_version(context, resource, resource_id, previous, "PUT")

    response = await _write(context, resource_type, resource_id, plan)
    response = await writes.visible_response(context, resource_type, resource_id, response)
    if response.json is None:
        return Response(204, None, response.version, response.updated)
    return _answer(values.decode(response.json or b"{}"), response)


async def _write(
    context: Context, resource_type: str, resource_id: str, plan: Callable[[Version | None], writes.Write]
) -> Response:
    if context.session is None:
        return await writes.replace(context, resource_type, resource_id, plan)
    # In a transaction operations run after its other writes are flushed, so this one is flushed by itself.
    inside = replace(context, pending=[], read_ahead={})
    response = await writes.replace(inside, resource_type, resource_id, plan)
    before = await context.services.resources.read(resource_type, resource_id)
    if before is None or any(
        write.previous and write.previous.version != before.version for write in inside.pending or ()
    ):
        raise BadRequest(
            f"{resource_type}/{resource_id} is written by two entries of the transaction.", code="duplicate"
        )
    await writes.flush(inside)
    return response


def _answer(resource: dict[str, Any], response: Response) -> Response:
    parameters = {"resourceType": "Parameters", "parameter": [{"name": "return", "valueMeta": resource["meta"]}]}
    return Response(200, values.encode(parameters), response.version, response.updated)


def _identity(name: str, value: Any) -> object:
    # A tag or label is its system and code; its version and display do not count. A profile is its URL.
    return value if name == "profile" else (value.get("system"), value.get("code"))


def _with(stored: Meta, added_meta: Meta) -> Meta:
    added: Meta = {}
    for name in _SETS:
        values_by_identity = {_identity(name, value): value for value in stored.get(name, [])}
        for value in added_meta.get(name, []):
            values_by_identity.setdefault(_identity(name, value), value)
        added[name] = list(values_by_identity.values())
    return _changed(stored, added)


def _without(stored: Meta, removed_meta: Meta) -> Meta:
    kept: Meta = {}
    for name in _SETS:
        gone = {_identity(name, value) for value in removed_meta.get(name, [])}
        kept[name] = [value for value in stored.get(name, []) if _identity(name, value) not in gone]
    return _changed(stored, kept)


def _changed(stored: Meta, sets: Meta) -> Meta:
    if all(stored.get(name, []) == value for name, value in sets.items()):
        return stored
    # `_profile` lines up with the old profiles, so it goes with them.
    kept = {name: value for name, value in stored.items() if name not in (*_SETS, "_profile")}
    return kept | {name: value for name, value in sets.items() if value}
