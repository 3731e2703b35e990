"""FHIR on another server, over HTTP: what the EHR service answers from when it is given a FHIR base that is not ours.

Each request carries the bearer token that came with the caller's own, so the other server decides what may be seen
and done, and says so by its status. https://hl7.org/fhir/R4/http.html
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, Self
from urllib.parse import urlencode

import httpx

from fhir_server.auth.outbound import content_of
from fhir_server.engine.access import OpenAccess
from fhir_server.engine.context import Request, Response
from fhir_server.engine.disclosure import note_resource
from fhir_server.errors import (
    BadGateway,
    Conflict,
    FhirError,
    Forbidden,
    Gone,
    NotFound,
    PreconditionFailed,
    TooManyRequests,
    Unauthorized,
    Unavailable,
)
from fhir_server.hospital.api.fhir import Fhir
from fhir_server.http.audit.audit_context import noted
from fhir_server.http.request_ids import HEADER
from fhir_server.r4 import values
from fhir_server.r4.references import local
from fhir_server.work.content_encoding import ACCEPTED
from fhir_server.work.request_id import request_id
from mappings.shared import reading

_SECONDS = 30.0
_MEDIA_TYPE = "application/fhir+json"
_PATH = re.compile(r"([A-Za-z0-9$_~=\-][A-Za-z0-9$_~=\-.]*(/[A-Za-z0-9$_~=\-][A-Za-z0-9$_~=\-.]*)*)?")
_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")  # https://www.rfc-editor.org/rfc/rfc6750#section-2.1
_ERRORS: dict[int, type[FhirError]] = {
    error.status: error
    for error in (Unauthorized, Forbidden, NotFound, Conflict, Gone, PreconditionFailed, TooManyRequests)
}


class RemoteFhir:
    """The FHIR server at a base URL; `largest` is how many bytes of an answer are read."""

    def __init__(self, base_url: str, largest: int) -> None:
        self.base_url = base_url.rstrip("/")
        self._largest = largest
        # No proxy and no netrc of the environment: the tokens of others go to the configured server alone.
        self._http = httpx.AsyncClient(timeout=_SECONDS, follow_redirects=False, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    def of(self, authorization: str) -> Fhir | None:
        """Return FHIR as the bearer of an Authorization header's token sees it; None where that holds no token."""
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not _TOKEN.fullmatch(token):
            return None
        return Fhir(self.base_url, noted(partial(self._ask, token)), partial(self._first_versions, token), OpenAccess())

    async def _ask(self, token: str, request: Request) -> Response:
        """Have an interaction carried out there; raises the FhirError of its status."""
        if _PATH.fullmatch(request.path) is None:  # an id is the caller's, and must not lead to elsewhere on the server
            raise NotFound("There is no resource with such an id.")
        status, headers, content = await self._sent(token, request)
        if not 200 <= status < 300:
            raise _error(request, status, headers)
        if not content and request.method != "GET" and "location" in headers:  # it does not send back what it stored
            return await self._ask(token, Request("GET", self._below_base(headers["location"])))
        if content or request.method == "GET":
            _require_resource(content)
            note_resource(self.base_url, request.path.partition("/")[0], request.path.partition("/")[2], content)
        return Response(status, content or None)

    async def _sent(self, token: str, request: Request) -> tuple[int, httpx.Headers, bytes]:
        url = f"{self.base_url}/{request.path}".rstrip("/")
        if request.query:
            url += f"?{urlencode(request.query)}"
        body = values.encode(request.resource) if request.resource is not None else None
        outgoing = {
            "Authorization": f"Bearer {token}",
            "Accept": _MEDIA_TYPE,
            "Accept-Encoding": ACCEPTED,
            **({HEADER: own_id} if (own_id := request_id()) else {}),
            # A search by a parameter that the server leaves out would show what was not asked for.
            "Prefer": "handling=strict, return=representation",
            **({"Content-Type": _MEDIA_TYPE} if body is not None else {}),
            **({"If-Match": request.if_match} if request.if_match else {}),
            **({"If-None-Match": request.if_none_match} if request.if_none_match else {}),
        }
        try:
            async with self._http.stream(request.method, url, content=body, headers=outgoing) as answer:
                return answer.status_code, answer.headers, await self._content(answer)
        except httpx.InvalidURL as error:  # too long
            raise BadGateway("The FHIR server cannot be asked this.") from error
        except httpx.HTTPError as error:
            raise Unavailable(f"The FHIR server cannot be reached ({type(error).__name__}).") from error

    async def _content(self, answer: httpx.Response) -> bytes:
        try:
            return await content_of(answer, self._largest)
        except FhirError as error:
            raise BadGateway(f"The FHIR server's answer cannot be read: {error.issues[0].diagnostics}") from error

    def _below_base(self, location: str) -> str:
        """Return the path of the resource that a Location names, without its version; raises BadGateway."""
        path = location.removeprefix(f"{self.base_url}/").partition("/_history/")[0]
        if local(path) is None:
            raise BadGateway("The FHIR server stored something, and does not say where.")
        return path

    async def _first_versions(self, token: str, resource_type: str, ids: Sequence[str]) -> dict[str, datetime]:
        """Return when the first versions were made; of a server that does not number its versions that is not known."""
        entries = [
            {"request": {"method": "GET", "url": f"{resource_type}/{resource_id}/_history/1"}} for resource_id in ids
        ]
        bundle = {"resourceType": "Bundle", "type": "batch", "entry": entries}
        try:
            answer = await self._ask(token, Request("POST", "", resource=bundle))
        except FhirError:
            return {}
        versions = [entry.get("resource", {}) for entry in values.decode(answer.json or b"{}").get("entry", ())]
        times = {item.get("id"): reading.moment(item.get("meta", {}).get("lastUpdated")) for item in versions}
        return {resource_id: time for resource_id, time in times.items() if resource_id in ids and time is not None}


def _error(request: Request, status: int, headers: httpx.Headers) -> FhirError:
    if status >= 500 and status != 501:
        return Unavailable(f"The FHIR server answers {status}.")
    creates = request.if_none_match == "*"  # and a server need not let clients choose the ids of new resources
    kind = _ERRORS.get(status)
    if kind is None or (creates and kind is NotFound):
        return BadGateway(f"The FHIR server refuses {request.method} {request.path.partition('/')[0]} with {status}.")
    error = kind(f"The FHIR server answers {status}.")
    if "retry-after" in headers:
        error.headers["Retry-After"] = headers["retry-after"]
    return error


def _require_resource(content: bytes) -> None:
    try:
        resource: Any = values.decode(content)
    except FhirError as error:
        raise BadGateway("The FHIR server answers with something that is not JSON.") from error
    if not isinstance(resource, dict) or "resourceType" not in resource:
        raise BadGateway("The FHIR server answers with something that is not a resource.")
