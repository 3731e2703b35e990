"""The capabilities interaction: a CapabilityStatement derived from what the code does, so that it says nothing else.

Interactions are found by asking the router, search parameters in the registry, operations in theirs.
https://hl7.org/fhir/R4/http.html#capabilities
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version as package_version
from typing import Any

from fhir_server.auth import endpoints
from fhir_server.engine.context import Context, Request, Response
from fhir_server.engine.interactions.preconditions import parse_etags
from fhir_server.engine.operations.registry import OPERATIONS, Level
from fhir_server.engine.routes import COMPARTMENTS, Route, route_of
from fhir_server.engine.search import subsets
from fhir_server.engine.subscriptions.binding import socket_url
from fhir_server.engine.subscriptions.topics import BACKPORT, TOPIC_EXTENSION, TOPICS
from fhir_server.engine.terminology.capabilities import (
    FEATURES,
    RELEASED,
    TERMINOLOGY_SERVER,
    terminology_capabilities,
)
from fhir_server.errors import BadRequest, MethodNotAllowed, NotFound
from fhir_server.own_urls import base
from fhir_server.r4 import values
from fhir_server.r4.definitions import RESOURCE_TYPES, profiles
from fhir_server.r4.patching.formats import PATCH_FORMATS
from fhir_server.search.query.parse import parse
from fhir_server.search.registry import Parameter, parameters
from fhir_server.settings import Settings
from fhir_server.work.threads import apart

FORMATS = ("application/fhir+json", "application/fhir+xml", "json", "xml")

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
# In the order of https://hl7.org/fhir/R4/valueset-type-restful-interaction.html (and system-)
_TYPE_INTERACTIONS = (
    "read", "vread", "update", "patch", "delete", "history-instance", "history-type", "create", "search-type",
)  # fmt: skip
_SYSTEM_INTERACTIONS = ("transaction", "batch", "search-system", "history-system")
_STRUCTURE = "http://hl7.org/fhir/StructureDefinition/"
_WEBSOCKET = "http://hl7.org/fhir/StructureDefinition/capabilitystatement-websocket"
_NOWHERE = "http://localhost/fhir"
_ANY = "Basic"
"""A type that has every parameter that all types share."""


async def answer(context: Context, request: Request, route: Route) -> Response:
    """Answer with the CapabilityStatement, or TerminologyCapabilities; raises BadRequest for another mode."""
    modes = [text for name, text in request.query if name == "mode"]
    if modes == ["terminology"]:
        described = values.encode(terminology_capabilities(context.base_url))
        return Response(200, subsets.shown(described, request.query, "TerminologyCapabilities"))
    for mode in modes:
        # A server may ignore the mode: the full statement has the normative part in it.
        if mode not in ("full", "normative"):
            raise BadRequest(f"mode is full, normative or terminology, not {mode[:40]!r}.", code="value")
    encoded, tag = await _stated(context)
    headers = {"ETag": f'W/"{tag}"', "Cache-Control": "no-cache"}
    if request.if_none_match is not None and tag in parse_etags(request.if_none_match, "If-None-Match"):
        return Response(304, headers=headers)
    return Response(200, subsets.shown(encoded, request.query, "CapabilityStatement"), headers=headers)


Required = Mapping[str, Sequence[str]]
"""The profiles that all resources of a type must meet."""


@dataclass(frozen=True, slots=True)
class _Made:
    """A statement, what it was made from, and its ETag."""

    of: object
    registered: Mapping[str, Parameter]
    encoded: bytes
    tag: str


_made: deque[_Made] = deque(maxlen=4)
"""The last statements made: a process that serves several applications, as tests do, makes each once."""


async def _stated(context: Context) -> tuple[bytes, str]:
    """Return the statement's bytes and their ETag, made anew when a search parameter was added."""
    settings = context.services.settings
    security = _security(context.base_url, settings, context.services.authorization_endpoints)
    inputs = (context.base_url, security, base(), settings.profiles_required)
    made = _kept(inputs)
    if made is None:
        made = await apart(_make, *inputs)
    return made.encoded, made.tag


def prepare(base_url: str, settings: Settings) -> None:
    """Make the statement, so that no request has to wait for it."""
    inputs = (base_url, _security(base_url, settings), base(), settings.profiles_required)
    if _kept(inputs) is None:
        _make(*inputs)


def _kept(inputs: object) -> _Made | None:
    registered = parameters(_ANY)
    return next((made for made in tuple(_made) if made.registered is registered and made.of == inputs), None)


def _make(base_url: str, security: dict[str, Any] | None, own_base: str, required: Required) -> _Made:
    registered = parameters(_ANY)
    encoded = values.encode(_statement(base_url, security, required))
    tag = hashlib.sha256(encoded).hexdigest()[:16]
    made = _Made((base_url, security, own_base, required), registered, encoded, tag)
    _made.append(made)
    return made


def _security(base_url: str, settings: Settings, outside: Mapping[str, str] | None = None) -> dict[str, Any] | None:
    if settings.open:
        return None
    cors = bool(settings.allowed_origins)
    return endpoints.security(base_url, registration=settings.dynamic_registration, cors=cors, outside=outside)


def capability_statement(base_url: str | None = None) -> dict[str, Any]:
    """Return the CapabilityStatement of the server at a base URL, or of any such server without one."""
    return _statement(base_url, endpoints.security(base_url, registration=False), {})


def _statement(base_url: str | None, security: dict[str, Any] | None, required: Required) -> dict[str, Any]:
    return {
        "resourceType": "CapabilityStatement",
        "id": "fhir-server",
        "extension": FEATURES,
        "url": f"{base_url or _NOWHERE}/metadata",
        "version": package_version("fhir-server"),
        "name": "FhirServer",
        "title": "FHIR R4 server",
        "status": "active",
        "date": RELEASED,
        "kind": "instance",
        "instantiates": [
            "http://hl7.org/fhir/uv/bulkdata/CapabilityStatement/bulk-data",
            TERMINOLOGY_SERVER,
            f"{BACKPORT}/CapabilityStatement/backport-subscription-server-r4",
        ],
        "software": {"name": "fhir-server", "version": package_version("fhir-server"), "releaseDate": RELEASED},
        "implementation": {"description": "FHIR R4 server on MongoDB"} | ({"url": base_url} if base_url else {}),
        "fhirVersion": "4.0.1",
        "format": list(FORMATS),
        "patchFormat": list(PATCH_FORMATS),
        "rest": [_rest(base_url, security, required)],
    }


def _rest(base_url: str | None, security: dict[str, Any] | None, required: Required) -> dict[str, Any]:
    interactions = _interactions(None)
    own = {name: _search_parameters(name, common=False) for name in sorted(RESOURCE_TYPES)}
    referring = _referring(own)
    described: dict[str, Any] = {
        "extension": [{"url": _WEBSOCKET, "valueUri": socket_url(base_url or _NOWHERE)}],
        "mode": "server",
        **({"security": security} if security is not None else {}),
        "resource": [_resource(name, own[name], referring[name], required.get(name, ())) for name in own],
        "interaction": [{"code": code} for code in _SYSTEM_INTERACTIONS if code in interactions],
        "searchParam": [
            *(_search_parameter(parameter) for parameter in _search_parameters(_ANY, common=True)),
            *_unpublished(),
        ],
        "operation": _operations(None, ("system",)),
        "compartment": [f"http://hl7.org/fhir/CompartmentDefinition/{name.lower()}" for name in sorted(COMPARTMENTS)],
    }
    return _without_empty(described)


def _resource(name: str, own: Sequence[Parameter], referring: list[str], required: Sequence[str]) -> dict[str, Any]:
    interactions = _interactions(name)
    described = {
        **(_SUBSCRIPTIONS if name == "Subscription" else {}),
        "type": name,
        "profile": _STRUCTURE + name,
        "supportedProfile": list(dict.fromkeys([*_SUPPORTED.get(name, ()), *profiles().get(name, ()), *required])),
        "interaction": [_interaction(code) for code in _TYPE_INTERACTIONS if code in interactions],
        # "versioned-update" would say that an update must name its version; here it may.
        "versioning": "versioned",
        "readHistory": "vread" in interactions,
        "updateCreate": "update" in interactions,
        "conditionalCreate": "create" in interactions,
        "conditionalRead": "full-support",
        "conditionalUpdate": "conditional-update" in interactions,
        "conditionalDelete": "single" if "conditional-delete" in interactions else "not-supported",
        "referencePolicy": ["literal", "logical"],
        "searchInclude": ["*", *(f"{name}:{parameter.code}" for parameter in own if parameter.type == "reference")],
        "searchRevInclude": referring,
        "searchParam": [_search_parameter(parameter) for parameter in own],
        "operation": _operations(name, ("type", "instance", "version")),
    }
    return _without_empty(described)


_SUBSCRIPTIONS: dict[str, Any] = {
    "extension": [{"url": TOPIC_EXTENSION, "valueCanonical": topic.url} for topic in TOPICS],
}
_SUPPORTED = {"Subscription": [f"{BACKPORT}/StructureDefinition/backport-subscription"]}


def _interaction(code: str) -> dict[str, str]:
    return {"code": code} | ({"documentation": _DELETE} if code == "delete" else {})


_DELETE = "A conditional delete that finds several resources is refused, unless _multiple=true asks to delete them all."


def _without_empty(described: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in described.items() if value != []}


@lru_cache
def _interactions(resource_type: str | None) -> frozenset[str]:
    """Return what the router makes of every method on every form of path, on the system or a type."""
    if resource_type is None:
        paths: Iterable[str] = ("", "_history", "_search")
    else:
        paths = (resource_type + end for end in ("", "/_search", "/_history", "/x", "/x/_history", "/x/_history/1"))
    interactions = {interaction for path in paths for interaction in _routed(path)}
    return frozenset(interactions | ({"transaction"} if "batch" in interactions else set()))


def _routed(path: str) -> Iterator[str]:
    for method in _METHODS:
        try:
            yield route_of(method, path).interaction
        except (MethodNotAllowed, NotFound):
            continue


def _search_parameters(resource_type: str, *, common: bool) -> list[Parameter]:
    """Return the parameters of the type alone, or those that all types share, as far as searches take them."""
    named = [parameter for code, parameter in parameters(resource_type).items() if code.startswith("_") == common]
    return [parameter for parameter in named if _is_taken(resource_type, parameter.code, "1")]


def _unpublished() -> list[dict[str, str]]:
    """Return those parameters that the specification describes without a SearchParameter of their own."""
    examples = {"_filter": ("_filter", "_id eq 1"), "_has": ("_has:List:item:code", "1"), "_list": ("_list", "1")}
    return [{"name": code, "type": "special"} for code, example in examples.items() if _is_taken(_ANY, *example)]


def _is_taken(resource_type: str, name: str, value: str) -> bool:
    """Return whether a search by the parameter is understood; a value of the wrong form is no reason against it."""
    try:
        parse((resource_type,), [(name, value)], strict=True)
    except BadRequest as error:
        return error.issues[0].code != "not-supported"
    return True


def _search_parameter(parameter: Parameter) -> dict[str, str]:
    described = {
        "name": parameter.code,
        "definition": parameter.url,
        "type": parameter.type,
        "documentation": parameter.expression,
    }
    return {key: value for key, value in described.items() if value}


def _referring(own: Mapping[str, Sequence[Parameter]]) -> dict[str, list[str]]:
    """Return, for each type, what may be asked of _revinclude: the reference parameters that can point to it."""
    referring: dict[str, list[str]] = {name: [] for name in RESOURCE_TYPES}
    for name, named in own.items():
        for parameter in named:
            for target in parameter.target if parameter.type == "reference" else ():
                referring[target].append(f"{name}:{parameter.code}")
    return referring


def _operations(resource_type: str | None, levels: Iterable[Level]) -> list[dict[str, str]]:
    return [
        {"name": operation.code, "definition": operation.definition}
        for operation in OPERATIONS
        if operation.levels & set(levels) and operation.on(resource_type)
    ]
