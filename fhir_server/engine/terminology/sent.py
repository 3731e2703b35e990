"""Resources that a request brings along, and those that the client has sent before under the same `cache-id`."""

from __future__ import annotations

from typing import Any

from fhir_server.engine.access import owner_of
from fhir_server.engine.context import Context
from fhir_server.engine.terminology.sent_parameters import Json
from fhir_server.r4 import values
from fhir_server.store.terminology.kept import Kept

_BROUGHT = frozenset({"tx-resource", "valueSet", "codeSystem", "conceptMap"})


async def with_kept(context: Context, parameters: Json) -> Json:
    """Return the parameters with what was sent before among them; what is new in them is kept for the next request."""
    cache = next((part.get("valueId") or part.get("valueString") for part in _named(parameters, {"cache-id"})), None)
    if not isinstance(cache, str):
        return parameters
    store, owner = context.services.stores.kept_resources, owner_of(context.access)
    kept = await store.read(owner, cache)
    brought = {
        name: values.encode(part["resource"])
        for part in _named(parameters, _BROUGHT)
        if (name := _name(part.get("resource"))) is not None
    }
    there = {each.name: each.json for each in kept}
    new = [Kept(name, json) for name, json in brought.items() if there.get(name) != json]
    if new:
        await store.add(owner, cache, kept, new)
    again = [
        {"name": "tx-resource", "resource": values.decode(json)} for name, json in there.items() if name not in brought
    ]
    return {**parameters, "parameter": [*parameters["parameter"], *again]}


def _named(parameters: Json, names: frozenset[str] | set[str]) -> list[Json]:
    return [part for part in parameters["parameter"] if part["name"] in names]


def _name(resource: Any) -> str | None:
    if not isinstance(resource, dict) or not isinstance(resource.get("url"), str):
        return None
    return f"{resource.get('resourceType')} {resource['url']}|{resource.get('version') or ''}"
