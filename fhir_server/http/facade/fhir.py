"""How the facade reaches FHIR: the few interactions it needs, in process as one caller.

Whatever the caller's access does not show is not there: reading it gives None, as for what never existed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from fhir_server.engine.access import Access
from fhir_server.engine.context import Context, Request, Response, Services
from fhir_server.engine.engine import handle
from fhir_server.errors import FhirError, Gone, NotFound
from fhir_server.r4 import values
from fhir_server.store.first_versions import created_times
from mappings.elements import Resource

Criteria = Sequence[tuple[str, str]]
_MOST_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found: matches in their order, what was included beside them by reference, and what follows."""

    matches: list[dict[str, Any]]
    included: dict[str, dict[str, Any]] = field(default_factory=dict)
    total: int | None = None
    next: str | None = None
    """The token of the next page."""


class Fhir:
    """FHIR as one caller sees it."""

    def __init__(self, services: Services, base_url: str, access: Access) -> None:
        self._services = services
        self._base_url = base_url
        self.access = access

    def acting_with(self, access: Access) -> Fhir:
        """Return the same for another access."""
        return Fhir(self._services, self._base_url, access)

    async def read(self, resource_type: str, resource_id: str) -> dict[str, Any] | None:
        """Return the resource, or None where there is none or none that the caller sees."""
        try:
            answer = await self._ask(Request("GET", f"{resource_type}/{resource_id}"))
        except (NotFound, Gone):
            return None
        return _resource(answer)

    async def search(self, resource_type: str, criteria: Criteria, *, token: str | None = None) -> Found:
        """Return a page of a search, the first one or the one that a token leads to; raises BadRequest."""
        query = [("_page", token)] if token else list(criteria)
        return _found(await self._ask(Request("GET", resource_type, query)))

    async def all(self, resource_type: str, criteria: Criteria) -> Found:
        """Return all that a search finds."""
        page = await self.search(resource_type, [*criteria, ("_count", str(_MOST_AT_ONCE))])
        matches, included = list(page.matches), dict(page.included)
        while page.next:
            page = await self.search(resource_type, (), token=page.next)
            matches += page.matches
            included |= page.included
        return Found(matches, included, len(matches))

    async def many(self, resource_type: str, ids: Iterable[str | None]) -> dict[str, dict[str, Any]]:
        """Return those of the resources that are there, by id."""
        wanted = sorted({resource_id for resource_id in ids if resource_id})
        if not wanted:
            return {}
        found = await self.all(resource_type, [("_id", ",".join(wanted))])
        return {resource["id"]: resource for resource in found.matches}

    async def first(self, resource_type: str, criteria: Criteria) -> dict[str, Any] | None:
        """Return the first match of a search, or None."""
        page = await self.search(resource_type, [*criteria, ("_count", "1")])
        return page.matches[0] if page.matches else None

    async def create(self, resource: Resource) -> dict[str, Any]:
        """Store a new resource under its own id, or one that the server gives; raises PreconditionFailed."""
        kind, own_id = resource["resourceType"], resource.get("id")
        if own_id is None:
            return _resource(await self._ask(Request("POST", kind, resource=dict(resource))))
        request = Request("PUT", f"{kind}/{own_id}", resource=dict(resource), if_none_match="*")
        return _resource(await self._ask(request))

    async def update(self, resource: Resource) -> dict[str, Any]:
        """Store the next version of a resource that was read; raises PreconditionFailed if it was changed since."""
        path = f"{resource['resourceType']}/{resource['id']}"
        match = f'W/"{resource["meta"]["versionId"]}"'
        return _resource(await self._ask(Request("PUT", path, resource=dict(resource), if_match=match)))

    async def delete(self, resource_type: str, resource_id: str) -> None:
        """Delete a resource."""
        await self._ask(Request("DELETE", f"{resource_type}/{resource_id}"))

    async def transact(self, bundle: Resource) -> None:
        """Carry out a transaction; raises the error of the entry that failed, and then nothing has changed."""
        await self._ask(Request("POST", "", resource=dict(bundle)))

    async def created(self, resources: Iterable[Resource]) -> dict[str, datetime]:
        """Return when each resource (of one type) with more than one version was created, by id."""
        changed = [item for item in resources if item.get("meta", {}).get("versionId", "1") != "1"]
        if not changed:
            return {}
        ids = [item["id"] for item in changed]
        return await created_times(self._services.database, changed[0]["resourceType"], ids)

    async def created_at(self, resource: Resource) -> datetime | None:
        """Return when the resource was created, if it has more than one version."""
        return (await self.created([resource])).get(resource["id"])

    async def _ask(self, request: Request) -> Response:
        context = Context(self._services, self._base_url, self.access, handling="strict")
        return await handle(context, request)


def _resource(answer: Response) -> dict[str, Any]:
    resource: dict[str, Any] = values.decode(answer.json or b"{}")
    return resource


def _found(answer: Response) -> Found:
    bundle = _resource(answer)
    matches: list[dict[str, Any]] = []
    included: dict[str, dict[str, Any]] = {}
    for entry in bundle.get("entry", ()):
        resource = entry["resource"]
        mode = entry.get("search", {}).get("mode")
        if mode == "match":
            matches.append(resource)
        elif mode == "include":
            included[f"{resource['resourceType']}/{resource['id']}"] = resource
    return Found(matches, included, bundle.get("total"), _next(bundle))


def _next(bundle: Mapping[str, Any]) -> str | None:
    url = next((link["url"] for link in bundle.get("link", ()) if link["relation"] == "next"), None)
    return dict(parse_qsl(urlsplit(url).query)).get("_page") if url else None


def is_not_there(error: FhirError) -> bool:
    """Return whether the error says that a resource is not there, or not any more."""
    return isinstance(error, NotFound | Gone)
