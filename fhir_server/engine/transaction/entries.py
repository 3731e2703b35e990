"""The entries of a batch or transaction as requests, and the responses as entries. https://hl7.org/fhir/R4/http.html#transaction."""

from __future__ import annotations

import base64
import binascii
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote

import msgspec

from fhir_server.engine.context import Context, Request, Response, instant
from fhir_server.engine.interactions.preconditions import etag
from fhir_server.engine.places import Placing
from fhir_server.engine.routes import Route
from fhir_server.errors import BadRequest, FhirError, TooLarge, UnsupportedMediaType, operation_outcome
from fhir_server.r4 import values
from fhir_server.r4.definitions import table
from fhir_server.r4.patching.formats import NOT_RESOURCES, read_patch

SECONDS_AN_ENTRY = 0.002
"""Processor time that each entry adds to what a request may take."""
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
_CONDITIONS = {
    "ifMatch": "if_match",
    "ifNoneMatch": "if_none_match",
    "ifModifiedSince": "if_modified_since",
    "ifNoneExist": "if_none_exist",
}


def bundle_entries(context: Context, request: Request) -> tuple[str, list[dict[str, Any]]]:
    """Return the type of the batch or transaction in the body, and its entries; raises BadRequest or TooLarge."""
    bundle = request.resource
    if not isinstance(bundle, dict) or bundle.get("resourceType") != "Bundle":
        raise BadRequest("The base URL takes a Bundle of type batch or transaction.", expression="Bundle")
    _require_known(bundle, "Bundle", "Bundle")
    kind = bundle.get("type")
    if kind not in ("batch", "transaction"):
        raise BadRequest(
            f"The base URL takes a Bundle of type batch or transaction, not {kind!r}.", expression="Bundle.type"
        )
    entries = bundle.get("entry", [])
    if not isinstance(entries, list):
        raise BadRequest("Bundle.entry must be a list.", expression="Bundle.entry")
    limit = context.services.settings.max_bundle_entries
    if len(entries) > limit:
        raise TooLarge(
            f"The bundle has {len(entries)} entries; at most {limit} are taken at once.", expression="Bundle.entry"
        )
    return str(kind), entries


def entry_request(context: Context, entry: object, position: int) -> Request:
    """Return the request that an entry makes; raises BadRequest naming the place."""
    place = f"Bundle.entry[{position}]"
    stated = entry.get("request") if isinstance(entry, dict) else None
    if not isinstance(entry, dict) or not isinstance(stated, dict):
        raise BadRequest("Every entry of a batch or transaction needs a request.", expression=f"{place}.request")
    _require_known(entry, "Bundle.entry", place)
    _require_known(stated, "Bundle.entry.request", f"{place}.request")
    method, url = stated.get("method"), stated.get("url")
    if not isinstance(method, str) or method not in _METHODS:
        raise BadRequest(f"{str(method)[:20]!r} is not an HTTP method.", expression=f"{place}.request.method")
    if not isinstance(url, str):
        raise BadRequest("The request needs a url.", expression=f"{place}.request.url")
    path, query = _split(context, url, place)
    conditions: dict[str, Any] = {}
    for name, attribute in _CONDITIONS.items():
        if name in stated:
            if not isinstance(stated[name], str):
                raise BadRequest(f"{name} must be a string.", expression=f"{place}.request.{name}")
            conditions[attribute] = stated[name]
    body = entry.get("resource")
    if method == "PATCH" and isinstance(body, dict) and body.get("resourceType") == "Binary":
        body, size = _patch(context, body, place), _size(body)
    else:
        size = _size(body)
    return Request(method, path, query, body, size=size, place=place, **conditions)


def _size(body: Any) -> int:
    return len(values.encode(body)) if body is not None else 0


def _require_known(node: dict[str, Any], type_name: str, place: str) -> None:
    """Raise BadRequest for an element that is none: a condition that is misspelt must not count as no condition."""
    elements = table(type_name).elements
    for name in node:
        if name.removeprefix("_") not in elements and (name != "resourceType" or type_name != "Bundle"):
            raise BadRequest(f"{type_name} has no element {name[:80]!r}.", expression=place, code="structure")


def _patch(context: Context, binary: dict[str, Any], place: str) -> Any:
    """Return the patch that travels as a Binary, for a bundle holds nothing but resources."""
    declared = binary.get("contentType")
    media_type = declared.partition(";")[0].strip().lower() if isinstance(declared, str) else ""
    if media_type not in NOT_RESOURCES:
        raise UnsupportedMediaType(
            f"A patch in a Binary has the contentType {' or '.join(NOT_RESOURCES)}; a FHIRPath Patch is a Parameters "
            "resource.",
            expression=f"{place}.resource.contentType",
        )
    try:
        data = base64.b64decode(binary.get("data") or "", validate=True)
    except (binascii.Error, ValueError, TypeError) as error:
        raise BadRequest("The Binary's data is not base64.", expression=f"{place}.resource.data") from error
    with Placing(place):
        return read_patch(media_type, data, max_depth=context.services.settings.max_depth)


def _split(context: Context, url: str, place: str) -> tuple[str, list[tuple[str, str]]]:
    if url.startswith(context.base_url + "/") or url == context.base_url:
        url = url[len(context.base_url) :]
    elif "://" in url.split("?", 1)[0]:
        raise BadRequest(f"The url {url[:200]!r} is not below {context.base_url}.", expression=f"{place}.request.url")
    path, _, query = url.partition("?")
    return unquote(path).strip("/"), parse_qsl(query, keep_blank_values=True)


def response_entry(context: Context, request: Request, route: Route, response: Response) -> dict[str, Any]:
    """Return the entry of a batch-response or transaction-response that reports a success."""
    reported: dict[str, Any] = {"status": _status(response.status)}
    if response.location:
        reported["location"] = f"{context.base_url}/{response.location}"
    if response.version is not None:
        reported["etag"] = etag(response.version)
    if response.updated is not None:
        reported["lastModified"] = instant(response.updated)
    entry: dict[str, Any] = {}
    if response.location:
        entry["fullUrl"] = f"{context.base_url}/{response.location.partition('/_history')[0]}"
    elif route.interaction == "read":
        entry["fullUrl"] = f"{context.base_url}/{request.path}"
    if response.json is not None and request.method != "HEAD" and wants_resource(context, request):
        entry["resource"] = msgspec.Raw(response.json)
    entry["response"] = reported
    if context.prefer_return == "OperationOutcome" and request.method not in ("GET", "HEAD"):
        reported["outcome"] = operation_outcome(()) | {"issue": [_done(response)]}
    if response.warnings:
        issues = reported.get("outcome", {"issue": []})["issue"]
        reported["outcome"] = operation_outcome(()) | {
            "issue": [*issues, *operation_outcome(response.warnings)["issue"]]
        }
    return entry


def _done(response: Response) -> dict[str, str]:
    return {"severity": "information", "code": "informational", "diagnostics": _status(response.status)}


def wants_resource(context: Context, request: Request) -> bool:
    """Return whether the entry of the response has the resource itself."""
    reads = request.method == "GET" or "$" in request.path or request.path.endswith("_search")
    return reads or context.prefer_return == "representation"


def failure_entry(error: FhirError) -> dict[str, Any]:
    """Return the entry of a batch-response that reports a failure."""
    reported: dict[str, Any] = {"status": _status(error.status), "outcome": error.outcome()}
    if "ETag" in error.headers:
        reported["etag"] = error.headers["ETag"]
    return {"response": reported}


def _status(code: int) -> str:
    return f"{code} {HTTPStatus(code).phrase}"


def response_bundle(kind: str, entries: list[dict[str, Any]]) -> bytes:
    """Return the bytes of a batch-response or transaction-response Bundle."""
    bundle: dict[str, Any] = {"resourceType": "Bundle", "type": f"{kind}-response"}
    if entries:
        bundle["entry"] = _with_distinct_urls(entries)
    return values.encode(bundle)


def _with_distinct_urls(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the entries with each fullUrl at the first that shows that version of the resource: invariant bdl-7.

    The invariant joins URL and version without a mark between them, so this does too.
    """
    seen: set[str] = set()
    distinct = []
    for entry in entries:
        version = entry["response"].get("etag", "")[3:-1] if "resource" in entry else ""
        text = f"{entry['fullUrl']}{version}" if "fullUrl" in entry else ""
        distinct.append({name: value for name, value in entry.items() if name != "fullUrl"} if text in seen else entry)
        seen.update([text] if text else [])
    return distinct
