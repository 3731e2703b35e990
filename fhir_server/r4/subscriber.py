"""The mark of whose a Subscription is: set by the server in `meta`, never by a client. Only its owner sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhir_server.own_urls import is_own_url, own_url

_EXTENSION = "subscriber"


def subscriber_name(client_id: str, user_id: str | None) -> str:
    """Return what names a client, and the user it acts for, as the owner of what they had made."""
    return f"{client_id} {user_id}" if user_id else client_id


def with_subscriber(resource: Mapping[str, Any], owner: str) -> dict[str, Any]:
    """Return the Subscription as that of an owner (a client, and the user it acts for); "" is nobody."""
    meta = dict(resource.get("meta") or {})
    others = [each for each in meta.pop("extension", ()) if not _is_mark(each)]
    own = [{"url": own_url("StructureDefinition", _EXTENSION), "valueString": owner}] if owner else []
    if others or own:
        meta["extension"] = [*others, *own]
    return {**resource, "meta": meta} if meta or "meta" in resource else dict(resource)


def subscriber_of(resource: Mapping[str, Any]) -> str:
    """Return whose a stored Subscription is; "" for nobody's."""
    meta = resource.get("meta")
    extensions = meta.get("extension") if isinstance(meta, Mapping) else None
    for each in extensions if isinstance(extensions, list) else ():
        if _is_mark(each) and isinstance(each.get("valueString"), str):
            return str(each["valueString"])
    return ""


def _is_mark(extension: object) -> bool:
    return isinstance(extension, Mapping) and is_own_url(extension.get("url"), "StructureDefinition", _EXTENSION)
