"""What a version of a resource looks like outside the store, and as a document inside.

docs/decisions/0001-one-document-per-version.md shows the document.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fhir_server.search.index.index import INDEX_VERSION
from fhir_server.store.database.encoding import Document
from fhir_server.store.resources.contents import placed

PROJECTION = {"version": 1, "updated": 1, "method": 1, "json": 1, "blob": 1, "links": 1, "subscriber": 1}
"""The fields that make a Version."""

_SMALL_BYTES = 16 * 1024
JSON_SIZE: Document = {"$binarySize": "$json"}
"""The projection of the content's bytes; null where it is a blob."""
SMALL_JSON: Document = {"$cond": [{"$lte": [JSON_SIZE, _SMALL_BYTES]}, "$json", "$$REMOVE"]}
"""The projection of the content where it is small: how much a list of many rows reads is known then."""

UNINDEXED = "unindexed"
"""The field that says why a resource could not be indexed when the index was made anew."""
INDEXED = "indexed"
"""The field that says by which version of the index a resource is indexed."""
INDEX = ("keys", "ranges", "sort", "shape", UNINDEXED, INDEXED)
"""The fields that the search index writes."""

SEALED = ("index", "~subscriber")
"""The fields that there are beside others where the database is encrypted: see `store.encryption`."""

CONTENT = ("json", "resource", "blob", "content", "claims", "links", "subscriber", *INDEX, *SEALED)
"""Every field that a version may lack: what the one before it had there must go."""


@dataclass(frozen=True, slots=True)
class Version:
    """What was stored: one version of a resource, with the bytes that a read of it sends."""

    type: str
    id: str
    version: int
    updated: datetime
    method: str
    deleted: bool
    json: bytes
    links: frozenset[str] = frozenset()
    """What the server may follow from it by its own rights: see `engine.links`."""
    subscriber: Mapping[str, Any] | None = None
    """Of a Subscription, with whose rights it acts, and its sealed secrets: see `engine.subscriptions`."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What is to be stored; `resource` is None for a tombstone, `index` is merged into the document."""

    type: str
    id: str
    version: int
    updated: datetime
    method: str
    json: bytes
    resource: Mapping[str, Any] | None
    index: Mapping[str, Any]
    condition: str | None = None
    claims: tuple[str, ...] = ()
    """What no other current resource of the type may have: a unique index sees to it."""
    links: tuple[str, ...] = ()
    """What the server may follow from it by its own rights; as long as nobody has decided, what it names at all."""
    quiet: bool = False
    """Whether nobody is to be told of this version: it is old news that was loaded."""
    subscriber: Mapping[str, Any] | None = None
    """Of a Subscription, what is kept beside it and never shown."""


def to_document(draft: Draft, blob: str | None) -> Document:
    """Return the document to store; `blob` names where the bytes are, when they are not to be in it.

    Of a Binary it then says where in them the content is.
    """
    document: Document = {"_id": draft.id, "version": draft.version, "updated": draft.updated, "method": draft.method}
    if draft.quiet:
        # The version and not a flag: so it shows in a change stream, and says nothing of the versions that follow.
        document["quiet"] = draft.version
    if draft.resource is None:
        return document
    if blob is not None:
        document["blob"] = blob
        place = placed(draft.json, draft.resource) if draft.type == "Binary" else None
        if place is not None:
            document["content"] = place
    else:
        document["json"] = draft.json
        document["resource"] = draft.resource
    document.update(draft.index)
    document[INDEXED] = INDEX_VERSION
    if draft.condition is not None:
        document["conditions"] = [draft.condition]
    if draft.claims:
        document["claims"] = list(draft.claims)
    if draft.links:
        document["links"] = list(draft.links)
    if draft.subscriber is not None:
        document["subscriber"] = dict(draft.subscriber)
    return document


def to_change(document: Document) -> Document:
    """Return the update that makes the document current; a condition stays with its holder unless that is deleted."""
    gone = {name: "" for name in CONTENT if name not in document}
    if document["method"] == "DELETE":
        gone["conditions"] = ""
    return {"$set": {name: value for name, value in document.items() if name != "_id"}, "$unset": gone}


def to_index_change(index: Mapping[str, Any]) -> Document:
    """Return the update that gives a stored resource this index in place of what it had."""
    fields = {**index, INDEXED: INDEX_VERSION}
    gone = {name: "" for name in INDEX if name not in fields}
    return {"$set": fields, **({"$unset": gone} if gone else {})}


def to_version(resource_type: str, resource_id: str, document: Mapping[str, Any], json: bytes) -> Version:
    """Return the version that a document fetched with PROJECTION tells of."""
    method = document["method"]
    links = frozenset(document.get("links", ()))
    return Version(
        resource_type,
        resource_id,
        document["version"],
        document["updated"],
        method,
        method == "DELETE",
        json,
        links,
        document.get("subscriber"),
    )


def of_earlier(condition: Any) -> Any:
    """Return a condition on current versions as one on earlier versions, which keep the logical id in `id`."""
    if isinstance(condition, Mapping):
        return {"id" if name == "_id" else name: of_earlier(value) for name, value in condition.items()}
    return [of_earlier(each) for each in condition] if isinstance(condition, list) else condition
