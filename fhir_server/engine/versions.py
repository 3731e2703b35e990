"""Making the next version of a resource: its id, its meta, its bytes and its index, ready for the store.

https://hl7.org/fhir/R4/resource.html#Meta
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from fhir_server.engine.context import Context, Request, Response, instant, now
from fhir_server.engine.links import named_links
from fhir_server.engine.places import placed
from fhir_server.engine.search import subsets
from fhir_server.engine.subscriptions import registration
from fhir_server.engine.transaction.references import places_of
from fhir_server.errors import BadRequest, Issue, Unprocessable
from fhir_server.r4 import values
from fhir_server.r4.ids import is_id
from fhir_server.r4.references import conditional
from fhir_server.r4.validation import validate
from fhir_server.search import custom
from fhir_server.search.index.index import index
from fhir_server.store.resources.resources import Draft, Version
from fhir_server.work.threads import sized


def new_id() -> str:
    """Return a new logical id: a version 7 UUID, so that ids made later sort later and inserts stay cheap."""
    number = (int(time.time() * 1000) << 80) | secrets.randbits(80)
    number = number & ~(0xF << 76) | 0x7 << 76
    number = number & ~(0x3 << 62) | 0x2 << 62
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def require_id(resource_id: str) -> None:
    """Raise BadRequest unless the text can be a logical id."""
    if not is_id(resource_id):
        raise BadRequest(
            f"{resource_id[:80]!r} is not a logical id: letters, digits, '-' and '.', at most 64.", code="value"
        )


def check(context: Context, request: Request, resource_type: str) -> dict[str, Any]:
    """Return the request's resource when it is valid and of the type; raises Unprocessable with all its faults."""
    resource = request.resource
    if not isinstance(resource, dict):
        raise BadRequest(f"{request.method} {request.path} needs a {resource_type} resource as its body.")
    named = resource.get("resourceType")
    if named is None:
        raise BadRequest(f"The body has no resourceType; it must be {resource_type}.", expression=resource_type)
    if named != resource_type:
        raise BadRequest(
            f"The resourceType is {str(named)[:80]!r}, but the URL asks for {resource_type}.",
            expression=resource_type,
        )
    require_valid(context, resource, request.place)
    return resource


async def checked(context: Context, request: Request, resource_type: str) -> dict[str, Any]:
    """Do what `check` does, in a thread where the resource is large."""
    return await sized(request.size, check, context, request, resource_type)


def require_valid(context: Context, resource: Mapping[str, Any], place: str = "") -> None:
    """Raise Unprocessable with every fault of the resource, each with its FHIRPath; `place` says where it stands."""
    issues = faults(context, resource)
    if _refused(issues):
        raise Unprocessable(issues=[placed(fault, place) for fault in issues])


def faults(context: Context, resource: Mapping[str, Any], *, warnings: bool = False) -> list[Issue]:
    """Return every fault of the resource; with `warnings` also what is doubtful but may be stored."""
    issues = validate(resource, max_depth=context.services.settings.max_depth, warnings=warnings)
    if _refused(issues):
        return issues
    issues += subsets.refusals(resource)
    if resource["resourceType"] == "SearchParameter":
        issues += custom.faults(resource)
    return issues


def _refused(faults: list[Issue]) -> bool:
    return any(fault.severity in ("error", "fatal") for fault in faults)


def stamp(resource: Mapping[str, Any], resource_id: str, version: int, updated: datetime) -> dict[str, Any]:
    """Return the resource with its id, and in meta the server's version and time, whatever a client says of those."""
    meta = resource.get("meta") or {}
    return {
        "resourceType": resource["resourceType"],
        "id": resource_id,
        "meta": {
            "versionId": str(version),
            "lastUpdated": instant(updated),
            **{name: value for name, value in meta.items() if name not in _OWN_META},
        },
        **{name: value for name, value in resource.items() if name not in _STAMPED},
    }


_OWN_META = frozenset({"versionId", "_versionId", "lastUpdated", "_lastUpdated"})
_STAMPED = frozenset({"resourceType", "id", "meta"})


def draft(
    context: Context,
    resource: Mapping[str, Any],
    resource_id: str,
    method: str,
    previous: Version | None,
    *,
    condition: str | None = None,
) -> Draft:
    """Return the version that follows `previous`, ready to be stored."""
    version, updated = _following(previous)
    resource = context.access.attributed(resource, interaction_of(method))
    subscriber = None
    if resource["resourceType"] == registration.TYPE:
        resource, subscriber = registration.prepared(context, resource, resource_id, previous)
    stamped = stamp(resource, resource_id, version, updated)
    json = values.encode(stamped)
    _require_resolved(stamped, json)
    return Draft(
        type=stamped["resourceType"],
        id=resource_id,
        version=version,
        updated=updated,
        method=method,
        json=json,
        resource=stamped,
        index=index(stamped, timezone=context.services.settings.default_timezone, base_url=context.base_url),
        condition=condition,
        claims=custom.claims(stamped) if stamped["resourceType"] == "SearchParameter" else (),
        links=named_links(stamped, json, context.base_url),
        quiet=context.quiet,
        subscriber=subscriber,
    )


def interaction_of(method: str) -> str:
    """Return the interaction by which a version with this method is written, for the access rule."""
    return {"POST": "create", "PATCH": "patch"}.get(method, "update")


_QUERY = re.compile(rb'"reference":"([A-Z][A-Za-z]+\?[^"]*)"')


def _require_resolved(resource: dict[str, Any], json: bytes) -> None:
    """Raise Unprocessable for a conditional reference: only a transaction resolves them, and none is to be stored."""
    # The references in a stored Bundle are its own.
    if resource["resourceType"] == "Bundle":
        return
    text = next((text for match in _QUERY.finditer(json) if conditional(text := match[1].decode())), None)
    if text is None:
        return
    raise Unprocessable(
        f"The conditional reference {text[:200]!r} can stand in a transaction only, which resolves it.",
        expression=f"{resource['resourceType']}{dict(places_of(resource)).get(text, '')}",
        code="value",
    )


def tombstone(context: Context, previous: Version) -> Draft:
    """Return the version that deletes the resource."""
    version, updated = _following(previous)
    return Draft(
        type=previous.type,
        id=previous.id,
        version=version,
        updated=updated,
        method="DELETE",
        json=b"",
        resource=None,
        index={},
        condition=None,
        quiet=context.quiet,
    )


def _following(previous: Version | None) -> tuple[int, datetime]:
    time_now = now()
    if previous is None:
        return 1, time_now
    # Two versions within a millisecond, or a clock set back, must not share or swap their times.
    return previous.version + 1, max(time_now, previous.updated + timedelta(milliseconds=1))


def unchanged(resource: Mapping[str, Any], previous: Version) -> bool:
    """Return whether the resource says just what the previous version says: then there is nothing to write.

    The order of properties says nothing in JSON; a decimal's precision does, so 1.0 and 1.00 differ.
    """
    stamped = stamp(resource, previous.id, previous.version, previous.updated)
    json = values.encode(stamped)
    if json == previous.json or len(json) != len(previous.json):  # equal contents have equally long compact texts
        return json == previous.json
    return values.encode_sorted(stamped) == values.encode_sorted(values.decode(previous.json))


def answer(status: int, version: Version | Draft) -> Response:
    """Return the response that shows a version after a write."""
    return Response(
        status,
        version.json or None,
        version.version,
        version.updated,
        f"{version.type}/{version.id}/_history/{version.version}",
    )
