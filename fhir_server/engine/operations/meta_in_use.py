"""$meta of a type and of the whole server: the profiles, security labels and tags in use, as far as the caller may see.

https://hl7.org/fhir/R4/resource-operation-meta.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fhir_server.engine.context import Context, Response
from fhir_server.r4 import values
from fhir_server.search.query.conditions import NOTHING
from fhir_server.store.resources.meta_in_use import metas_in_use

_CODING = ("system", "version", "code", "display", "userSelected")
_NONE = {
    "extension": [
        {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "not-applicable"},
    ]
}
"""The meta where nothing is in use: `return` must be there, and no element may be empty."""


async def meta_in_use(context: Context, resource_type: str | None) -> Response:
    """Answer with the union of the meta of all resources of the type, or of all types, that a search would show."""
    context.access.require("search-system" if resource_type is None else "search-type", resource_type)
    stored = await context.services.search.types()
    types = [name for name in stored if resource_type in (None, name) and context.access.visible(name) != NOTHING]
    metas: list[Mapping[str, Any]] = []
    for name in types:
        where = context.access.visible(name)
        metas += await metas_in_use(context.services.search, name, where, context.session)
    parameter = {"name": "return", "valueMeta": _union(metas) or _NONE}
    return Response(200, values.encode({"resourceType": "Parameters", "parameter": [parameter]}))


def _union(metas: list[Mapping[str, Any]]) -> dict[str, Any]:
    union = {
        "profile": sorted({profile for meta in metas for profile in meta.get("profile", ()) if profile is not None}),
        "security": _codings(coding for meta in metas for coding in meta.get("security", ())),
        "tag": _codings(coding for meta in metas for coding in meta.get("tag", ())),
    }
    return {name: each for name, each in union.items() if each}


def _codings(codings: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return each coding once by its system and code, without what is one resource's own about it."""
    distinct: dict[tuple[str, str], dict[str, Any]] = {}
    for coding in codings:
        plain = {name: coding[name] for name in _CODING if name in coding}
        if plain:
            distinct.setdefault((plain.get("system", ""), plain.get("code", "")), plain)
    return [distinct[identity] for identity in sorted(distinct)]
