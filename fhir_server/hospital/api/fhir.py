"""How the facade reaches FHIR: the few interactions it needs, as one caller, in process or on another server.

Whatever the caller's access does not show is not there: reading it gives None, as for what never existed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

from fhir_server.engine.access import Access, OpenAccess
from fhir_server.engine.context import Ask, Context, Request, Response, Services, instant, now
from fhir_server.engine.engine import handle
from fhir_server.errors import BadGateway, FhirError, Gone, NotFound
from fhir_server.hospital.api.references import decoded
from fhir_server.http.audit.audit_context import noted
from fhir_server.r4.ids import is_id
from fhir_server.store.resources.contents import Content, HeldContent
from fhir_server.store.resources.first_versions import created_times
from mappings.shared.elements import Resource

Criteria = Sequence[tuple[str, str]]
FirstVersions = Callable[[str, Sequence[str]], Awaitable[dict[str, datetime]]]
"""Returns when the resources of a type, by their ids, had their first version, as far as that is known."""
_MOST_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class SearchPage:
    """What a search found: matches in their order, what was included beside them by reference, and what follows."""

    matches: list[dict[str, Any]]
    included: dict[str, dict[str, Any]] = field(default_factory=dict)
    total: int | None = None
    next: str | None = None
    """The token of the next page: where it is below the base."""


class Fhir:
    """FHIR at a base URL as one caller sees it.

    `ask` has interactions carried out there; `first_versions` tells when resources were made.
    """

    def __init__(self, base_url: str, ask: Ask, first_versions: FirstVersions, access: Access) -> None:
        self.base_url = base_url
        self.ask = ask
        self.access = access
        self._first_versions = first_versions

    async def read(self, resource_type: str, resource_id: str) -> dict[str, Any] | None:
        """Return the resource, or None where there is none or none that the caller sees."""
        if not is_id(resource_id):
            return None  # it is the app's word: `_history` or `1/_history/2` would lead to something else
        try:
            answer = await self.ask(Request("GET", f"{resource_type}/{resource_id}"))
        except (NotFound, Gone):
            return None
        return self._resource(answer)

    async def content(self, binary_id: str) -> tuple[dict[str, Any], Content] | None:
        """Return a Binary and its content, of which no more is read than is asked for; None as for `read`."""
        if not is_id(binary_id):
            return None
        try:
            answer = await self.ask(Request("GET", f"Binary/{binary_id}", wants_content=True))
        except (NotFound, Gone):
            return None
        binary = self._resource(answer)
        return binary, answer.content or HeldContent.of(binary.get("data"))

    async def search(self, resource_type: str, criteria: Criteria, *, token: str | None = None) -> SearchPage:
        """Return a page of a search, the first one or the one that a token leads to; raises BadRequest."""
        request = Request("GET", resource_type, list(criteria))
        if token is not None:
            path, _, query = token.partition("?")
            request = Request("GET", path, parse_qsl(query, keep_blank_values=True))
        return self._page(resource_type, self._resource(await self.ask(request)))

    async def all(self, resource_type: str, criteria: Criteria) -> SearchPage:
        """Return all that a search finds."""
        page = await self.search(resource_type, [*criteria, ("_count", str(_MOST_AT_ONCE))])
        matches, included = list(page.matches), dict(page.included)
        while page.next:
            page = await self.search(resource_type, (), token=page.next)
            matches += page.matches
            included |= page.included
        return SearchPage(matches, included, len(matches))

    async def many(self, resource_type: str, ids: Iterable[str | None]) -> dict[str, dict[str, Any]]:
        """Return those of the resources that are there, by id."""
        sorted_ids = sorted({resource_id for resource_id in ids if resource_id})
        if not sorted_ids:
            return {}
        page = await self.all(resource_type, [("_id", ",".join(sorted_ids))])
        return {resource["id"]: resource for resource in page.matches}

    async def first(self, resource_type: str, criteria: Criteria) -> dict[str, Any] | None:
        """Return the first match of a search, or None."""
        page = await self.search(resource_type, [*criteria, ("_count", "1")])
        return page.matches[0] if page.matches else None

    async def create(self, resource: Resource) -> dict[str, Any]:
        """Store a new resource under its own id, or one that the server gives; raises PreconditionFailed."""
        kind, own_id = resource["resourceType"], resource.get("id")
        if own_id is None:
            return self._resource(await self.ask(Request("POST", kind, resource=dict(resource))))
        request = Request("PUT", f"{kind}/{own_id}", resource=dict(resource), if_none_match="*")
        try:
            return self._resource(await self.ask(request))
        except BadGateway:  # another server, which gives all ids itself
            unnamed = {name: value for name, value in resource.items() if name != "id"}
            return self._resource(await self.ask(Request("POST", kind, resource=unnamed)))

    async def update(self, resource: Resource) -> dict[str, Any]:
        """Store the next version of a resource that was read; raises PreconditionFailed if it was changed since."""
        path = f"{resource['resourceType']}/{resource['id']}"
        match = f'W/"{version_of(resource)}"'
        return self._resource(await self.ask(Request("PUT", path, resource=dict(resource), if_match=match)))

    async def delete(self, resource_type: str, resource_id: str) -> None:
        """Delete a resource."""
        await self.ask(Request("DELETE", f"{resource_type}/{resource_id}"))

    async def transact(self, bundle: Resource) -> None:
        """Carry out a transaction; raises the error of the entry that failed, and then nothing has changed."""
        await self.ask(Request("POST", "", resource=dict(bundle)))

    async def created(self, resources: Iterable[Resource]) -> dict[str, datetime]:
        """Return when each resource (of one type) with more than one version was created, by id."""
        changed = [item for item in resources if item.get("meta", {}).get("versionId", "1") != "1"]
        if not changed:
            return {}
        ids = [item["id"] for item in changed]
        return await self._first_versions(changed[0]["resourceType"], ids)

    async def created_at(self, resource: Resource) -> datetime | None:
        """Return when the resource was created, if it has more than one version."""
        return (await self.created([resource])).get(resource["id"])

    def _resource(self, answer: Response) -> dict[str, Any]:
        return _dated(decoded(answer.json or b"{}", self.base_url))

    def _page(self, resource_type: str, bundle: Mapping[str, Any]) -> SearchPage:
        matches: list[dict[str, Any]] = []
        included: dict[str, dict[str, Any]] = {}
        for entry in bundle.get("entry", ()):
            resource = entry.get("resource", {})
            kind = resource.get("resourceType")
            # The mode need not be said; an answer to a search of one type then holds no other matches.
            mode = entry.get("search", {}).get("mode") or ("match" if kind == resource_type else "include")
            if mode == "match":
                matches.append(_dated(resource))
            elif mode == "include":
                included[f"{kind}/{resource.get('id')}"] = _dated(resource)
        return SearchPage(matches, included, bundle.get("total"), self._next(bundle))

    def _next(self, bundle: Mapping[str, Any]) -> str | None:
        url = next((link["url"] for link in bundle.get("link", ()) if link["relation"] == "next"), None)
        if url is None:
            return None
        # What the caller's token opens is asked for at the base alone, wherever a link may lead.
        if not url.startswith((f"{self.base_url}/", f"{self.base_url}?")):
            raise BadGateway("The next page of a search is not below the FHIR base.")
        return str(url[len(self.base_url) :].removeprefix("/"))


def in_process(services: Services, base_url: str, access: Access | None = None) -> Fhir:
    """Return the FHIR of this server as a caller sees it; without one as the facade does, for its own duty."""
    access = access or OpenAccess()
    context = Context(services, base_url, access, handling="strict")
    return Fhir(base_url, noted(partial(handle, context)), partial(created_times, services.database), access)


def version_of(resource: Resource) -> str:
    """Return the id of the version that was read; raises BadGateway where the server keeps none."""
    version = resource.get("meta", {}).get("versionId")
    if version is None:
        raise BadGateway("The FHIR server does not say which version of a resource it has.")
    return str(version)


def _dated(resource: dict[str, Any]) -> dict[str, Any]:
    """Give a resource of a server that does not keep its time the present one."""
    meta = resource.setdefault("meta", {})
    if "lastUpdated" not in meta:
        meta["lastUpdated"] = instant(now())
    return resource


def is_not_there(error: FhirError) -> bool:
    """Return whether the error says that a resource is not there, or not any more."""
    return isinstance(error, NotFound | Gone)
