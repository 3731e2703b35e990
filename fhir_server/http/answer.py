"""A finished HTTP response of the FHIR surface, and how what an interaction returns, or raises, becomes one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from fhir_server.engine.context import Response
from fhir_server.engine.interactions.preconditions import etag
from fhir_server.errors import FhirError, Issue
from fhir_server.http.content.representation import JSON_REPRESENTATION, Representation, http_date
from fhir_server.r4 import values
from fhir_server.work.request_id import chosen_id
from fhir_server.work.threads import sized


@dataclass(slots=True)
class Answer:
    """A finished HTTP response."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    representation: Representation | None = None
    """What the body, JSON so far, is still to be shown in."""
    pieces: AsyncIterator[bytes] | None = None
    """What is sent in place of the body, piece by piece."""


def marked(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the headers with what others must know: caches, that the format was negotiated and that patient data is
    not to be kept; browsers, that the content is what it says it is.
    """
    marks = [(b"vary", b"Accept"), (b"x-content-type-options", b"nosniff")]
    if not any(name == b"cache-control" for name, _ in headers):
        marks.append((b"cache-control", b"no-store"))
    return [*headers, *marks]


def response_headers(response: Response, base_url: str) -> list[tuple[bytes, bytes]]:
    """Return the headers that tell of a response: its version, where it is, and its warnings."""
    headers = [(name.lower().encode(), value.encode()) for name, value in response.headers.items()]
    headers += [(b"warning", _warning(issue)) for issue in response.warnings]
    if response.version is not None:
        headers.append((b"etag", etag(response.version).encode()))
    if response.updated is not None:
        headers.append((b"last-modified", http_date(response.updated).encode()))
    if response.location is not None:
        url = f"{base_url}/{response.location}".encode()
        headers.append((b"location", url))
        headers.append((b"content-location", url))
    return headers


def _warning(issue: Issue) -> bytes:
    """Return a Warning header that says what an issue says. https://www.rfc-editor.org/rfc/rfc7234#section-5.5"""
    text = issue.diagnostics.encode("ascii", "replace").decode()
    return f'199 - "{"".join(c if c.isprintable() and c not in _QUOTED else " " for c in text)}"'.encode()


_QUOTED = frozenset('"\\')


def failure(error: FhirError, representation: Representation) -> Answer:
    """Return the answer that tells of an error by its OperationOutcome."""
    headers = [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
    return resource_answer(error.status, error.outcome(), representation, headers)


def resource_answer(
    status: int,
    resource: dict[str, Any],
    representation: Representation,
    headers: list[tuple[bytes, bytes]] | None = None,
) -> Answer:
    """Return the answer that holds a resource, still to be shown in its representation."""
    if resource["resourceType"] == "OperationOutcome" and (request_id := chosen_id()):
        resource = {"resourceType": "OperationOutcome", "extension": [_request_extension(request_id)], **resource}
    return body_answer(status, values.encode(resource), representation, headers or [])


def _request_extension(request_id: str) -> dict[str, str]:
    """Return the extension that names the request, so that whoever reads the outcome alone can tell of it."""
    return {"url": "urn:fhir-server:request-id", "valueString": request_id}


def body_answer(status: int, json: bytes, representation: Representation, headers: list[tuple[bytes, bytes]]) -> Answer:
    """Return the answer that holds a resource's JSON, still to be shown in its representation."""
    return Answer(status, headers, json, representation)


def plain(answer: Answer) -> Answer:
    """Return an answer whose JSON is sent as it is."""
    return Answer(
        answer.status,
        [*answer.headers, *content_headers(JSON_REPRESENTATION.content_type, len(answer.body))],
        answer.body,
    )


async def rendered(answer: Answer) -> Answer:
    """Return the answer in its representation, made in a thread where it is long."""
    form = answer.representation
    if form is None:
        return answer
    size = 0 if form.is_stored else len(answer.body)
    body = await sized(size, form.render, answer.body)
    return Answer(answer.status, [*answer.headers, *content_headers(form.content_type, len(body))], body)


def content_headers(content_type: str, size: int) -> list[tuple[bytes, bytes]]:
    """Return the headers that describe a body."""
    return [(b"content-type", content_type.encode()), (b"content-length", str(size).encode())]
