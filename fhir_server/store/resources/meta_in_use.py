"""Which profiles, security labels and tags the resources of a type bear.

They stand in the key index, so one leap through it finds the first resource with each; how many others bear the same
costs nothing. A caller who sees but a few resources is answered from those.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bson.max_key import MaxKey

from fhir_server.r4 import values
from fhir_server.search.index.keys import EVERY, after_prefix
from fhir_server.search.planner.filters import filter_of
from fhir_server.search.query.conditions import Condition
from fhir_server.store.database.encoding import Document
from fhir_server.store.database.mongo import Session
from fhir_server.store.search.commands import AT, aggregate, without_bounds
from fhir_server.store.search.search import SearchStore

Meta = Mapping[str, Any]

_PREFIXES = ("_profile=", "_security|", "_tag|")
_SETS = ("profile", "security", "tag")
_KEYS: Document = {"keys": 1, "_id": 1}
_FEW = 1000
_META: Document = {"blob": 1, **{f"resource.meta.{name}": 1 for name in _SETS}}
_CONTENT: Document = {"blob": 1, "json": 1}
"""What is read where the database is encrypted, and has no resources beside their JSON."""


async def metas_in_use(
    store: SearchStore, resource_type: str, where: Condition | None, session: Session | None
) -> list[Meta]:
    """Return metas of live resources that meet `where`: each profile, label and tag in use stands in one of them.

    A label or tag without a code and a system is none that could be searched for, and may be missing.
    """
    visible: list[Document] = [{"keys": EVERY}, filter_of(where)]
    if where is not None:
        few = await _of_few(store, resource_type, visible, session)
        if few is not None:
            return few
    return [meta for each in _PREFIXES for meta in await _leaping(store, resource_type, each, visible, session)]


async def _of_few(
    store: SearchStore, resource_type: str, visible: list[Document], session: Session | None
) -> list[Meta] | None:
    """Return the metas of all resources that are visible; None where those are many."""
    if store.database.cipher is not None:
        return await _of_few_sealed(store, resource_type, visible, session)
    sets: Document = {name: f"$resource.meta.{name}" for name in _SETS}
    stages: list[Document] = [
        {"$match": {"$and": visible}},
        {"$limit": _FEW},
        {"$group": {"_id": {**sets, "blob": "$blob"}, "number": {"$sum": 1}}},
    ]
    groups, _, _ = await store.ask(aggregate(resource_type, stages, _FEW), session)
    if sum(each["number"] for each in groups) >= _FEW:
        return None
    return [await _meta(store, {"resource": {"meta": each["_id"]}, **each["_id"]}) for each in groups]


async def _of_few_sealed(
    store: SearchStore, resource_type: str, visible: list[Document], session: Session | None
) -> list[Meta] | None:
    """Return the metas of all resources that are visible, from their contents; None where those are many."""
    command: Document = {"find": resource_type, "filter": {"$and": visible}, "projection": _CONTENT, "limit": _FEW}
    documents, cut, _ = await store.ask(command | {"batchSize": _FEW + 1}, session)
    return None if cut or len(documents) >= _FEW else [await _meta(store, each) for each in documents]


async def _leaping(
    store: SearchStore, resource_type: str, prefix: str, visible: list[Document], session: Session | None
) -> list[Meta]:
    """Return the meta of the first visible resource for each key that begins so."""
    command: Document = {
        "find": resource_type,
        "filter": without_bounds(visible),
        "projection": {AT: {"$meta": "indexKey"}, **(_META if store.database.cipher is None else _CONTENT)},
        "hint": _KEYS,
        "max": {"keys": after_prefix(prefix), "_id": ""},
        "limit": 1,
    }
    metas: list[Meta] = []
    place: Document = {"keys": prefix, "_id": ""}
    while True:
        documents, _, _ = await store.ask(command | {"min": place}, session)
        if not documents:
            return metas
        metas.append(await _meta(store, documents[0]))
        place = {"keys": documents[0][AT]["keys"], "_id": MaxKey()}


async def _meta(store: SearchStore, document: Document) -> Meta:
    if document.get("blob") is None:
        resource = values.decode(document["json"]) if "json" in document else document.get("resource", {})
        meta: Meta = resource.get("meta", {})
        return meta
    large: Meta = values.decode(await store.blobs.read(document["blob"])).get("meta", {})
    return large
