"""Request bodies: read within the limit, uncompressed, and parsed by their Content-Type."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from starlette.types import Receive

from fhir_server.errors import BadRequest, TooLarge, UnsupportedMediaType
from fhir_server.http.content.representation import (
    FHIR_JSON,
    FHIR_XML,
    FORM,
    body_format,
    is_fhir_type,
    is_resource_type,
    parse_resource,
)
from fhir_server.http.limits import Limits
from fhir_server.r4.patching.formats import NOT_RESOURCES, PATCH_FORMATS, XML_PATCH, read_patch
from fhir_server.work.content_encoding import decompress


async def read_body(receive: Receive, headers: Mapping[str, str], limits: Limits) -> bytes:
    """Return the whole body as it was sent; raises TooLarge past the limit, as early as it shows."""
    limit = limits.body_bytes
    declared = headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise TooLarge(f"The body is larger than the {limit} bytes that this server takes.")
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BadRequest("The connection was closed before the body was complete.")
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise TooLarge(f"The body is larger than the {limit} bytes that this server takes.")
        parts.append(part)
        more = message.get("more_body", False)
    return b"".join(parts)


def undone(body: bytes, headers: Mapping[str, str], limits: Limits) -> bytes:
    """Return the body with its Content-Encoding undone; raises TooLarge or BadRequest."""
    return decompress(body, headers.get("content-encoding"), limit=limits.body_bytes)


def parse_body(body: bytes, path: str, method: str, headers: Mapping[str, str], limits: Limits) -> Any:
    """Return what the body says: a resource, a patch (see `read_patch`), or the pairs of a form.

    Raises UnsupportedMediaType, BadRequest, or TooLarge beyond the limits. Raw content sent to Binary becomes a Binary
    resource.
    """
    content_type = headers.get("content-type")
    if not body:
        return None
    if _is_raw_binary(path, method, content_type):
        return _binary(body, path, content_type or "application/octet-stream", headers.get("x-security-context"))
    if path.endswith("$graphql") and (content_type or "").partition(";")[0].strip().lower() == "application/graphql":
        return {"query": _text(body)}
    form = body_format(content_type)
    if form == "form":
        return form_pairs(body, limits.parameters)
    media_type = _media_type(headers)
    limits.require_few_values(body, xml=form == "xml" or media_type == XML_PATCH, bundle=path == "")
    if form == "patch":
        return read_patch(media_type, body, max_depth=limits.depth)
    return parse_resource(body, form, max_depth=limits.depth)


class Form(list[tuple[str, str]]):
    """The name-value pairs of a form."""


_PATCHES = frozenset({"patch", "conditional-patch"})
_SEARCHES = frozenset({"search-type", "search-system"})


def require_media_type(interaction: str, path: str, headers: Mapping[str, str]) -> None:
    """Raise UnsupportedMediaType for what the interaction does not take, naming what it does.

    A search takes a form, a patch a patch, all others neither; operations have forms too.
    """
    media_type = _media_type(headers)
    is_form = media_type == FORM
    if interaction in _PATCHES:
        _require_patch(media_type)
        return
    if media_type in NOT_RESOURCES and not path.startswith("Binary"):
        raise UnsupportedMediaType(f"Only PATCH takes {media_type}; send {FHIR_JSON} or {FHIR_XML}.")
    if interaction in _SEARCHES and not is_form:
        raise UnsupportedMediaType(f"/{path[:200]} takes its parameters as {FORM}, not as {media_type[:80]!r}.")
    if is_form and interaction not in _SEARCHES and interaction != "operation" and not path.startswith("Binary"):
        raise UnsupportedMediaType(f"/{path[:200]} takes a resource, not {FORM}; send {FHIR_JSON} or {FHIR_XML}.")


def _media_type(headers: Mapping[str, str]) -> str:
    return (headers.get("content-type") or "").partition(";")[0].strip().lower()


def _require_patch(media_type: str) -> None:
    if media_type not in NOT_RESOURCES and not is_resource_type(media_type):
        sent = f"not {media_type[:80]!r}" if media_type else "and needs a Content-Type"
        raise UnsupportedMediaType(f"PATCH takes {', '.join(PATCH_FORMATS[:-1])} and {PATCH_FORMATS[-1]}, {sent}.")


def form_pairs(body: bytes, most: int) -> Form:
    """Return the name-value pairs of a form body; raises BadRequest, or TooLarge for more than `most`."""
    require_few_parameters(body, most)
    try:
        return Form(parse_qsl(body.decode("utf-8"), keep_blank_values=True, errors="strict"))
    except (UnicodeDecodeError, ValueError) as error:
        raise BadRequest("The form in the body is not valid UTF-8.") from error


def require_few_parameters(text: bytes, most: int) -> None:
    """Raise TooLarge where a query or a form has more parameters than it may have."""
    if text.count(b"&") >= most:
        raise TooLarge(f"A request has at most {most} parameters (max_parameters).", code="too-costly")


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadRequest("The body is not valid UTF-8.") from error


def _is_raw_binary(path: str, method: str, content_type: str | None) -> bool:
    # https://hl7.org/fhir/R4/binary.html#rest: any type but FHIR's own is content, not a resource.
    if method not in ("POST", "PUT") or not (path == "Binary" or path.startswith("Binary/")):
        return False
    return path.count("/") < 2 and not path.startswith(("Binary/$", "Binary/_")) and not is_fhir_type(content_type)


def _binary(body: bytes, path: str, content_type: str, security_context: str | None) -> dict[str, Any]:
    resource: dict[str, Any] = {"resourceType": "Binary"}
    if "/" in path:
        resource["id"] = path.partition("/")[2]
    resource["contentType"] = content_type
    if security_context:
        resource["securityContext"] = {"reference": security_context}
    resource["data"] = base64.b64encode(body).decode()
    return resource
