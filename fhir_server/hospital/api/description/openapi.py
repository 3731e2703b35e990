"""What the OpenAPI description says beyond the endpoints themselves: every error that an endpoint may answer with.

An endpoint names the errors that are its own; those that follow from what it takes are added to each alike.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Hashable, Iterator
from functools import cached_property
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic.json_schema import models_json_schema

from fhir_server.hospital.api.description.examples import add_examples
from fhir_server.hospital.api.problem import MEDIA_TYPE, PROBLEMS, ProblemDetails
from fhir_server.own_urls import base, problem_type
from fhir_server.work.threads import apart

Responses = dict[int | str, dict[str, Any]]

_making = threading.Lock()
_descriptions: dict[tuple[Hashable, str], dict[str, Any]] = {}
"""The descriptions made, by variant and by the base of the addresses in them."""
_METHODS = frozenset({"get", "put", "post", "delete", "patch"})
_OAUTH2 = {
    "type": "oauth2",
    "description": "SMART App Launch: a token of this server, with the scopes of the types used.",
    "flows": {
        "authorizationCode": {
            "authorizationUrl": "oauth/authorize",
            "tokenUrl": "oauth/token",
            "refreshUrl": "oauth/token",
            "scopes": {
                "launch/patient": "Whose record it is.",
                "offline_access": "A refresh token.",
                "patient/*.rs": "Read and search the patient's record.",
                "patient/*.cruds": "Write it, too: book, pay, upload.",
            },
        }
    },
}
_SCHEMAS = "#/components/schemas/"


def errors(*codes: str) -> Responses:
    """Return the responses that tell these problems, with an example of each."""
    responses: Responses = {}
    for code in codes:
        _add(responses.setdefault(PROBLEMS[code][0], _response()), code)
    return responses


def _response() -> dict[str, Any]:
    schema = {"$ref": f"{_SCHEMAS}{ProblemDetails.__name__}"}
    return {"description": "", "content": {MEDIA_TYPE: {"schema": schema, "examples": {}}}}


def _add(response: dict[str, Any], code: str) -> None:
    status, title = PROBLEMS[code]
    examples = response["content"][MEDIA_TYPE]["examples"]
    if code in examples:
        return
    response["description"] = "; ".join(part for part in (response["description"], f"`{code}`: {title}") if part)
    example = {"type": problem_type(code), "title": title, "status": status, "detail": title, "code": code}
    if code == "validation_failed":
        example["errors"] = [{"field": "email", "message": "This is not an email address."}]
    elif status == 422:
        example["errors"] = [{"field": "body", "message": title}]
    examples[code] = {"value": example}


def operation_id(route: APIRoute) -> str:
    """Return what an operation is called in generated clients: its tag and its name."""
    return f"{route.tags[0]}_{route.name}".replace("-", "_") if route.tags else route.name


class DescribedApi(FastAPI):
    """An application whose description tells of each endpoint what follows from how it is asked."""

    def __init__(self, variant: Hashable, **named: Any) -> None:
        """Take what tells the application's endpoints from those of others, and what FastAPI takes."""
        self._variant = variant
        super().__init__(**named)

    def openapi(self) -> dict[str, Any]:
        """Return the description, which takes a third of a second to make: once in a process for each variant."""
        with _making:
            key = (self._variant, base())
            if key not in _descriptions:
                _descriptions[key] = self._made()
            return _descriptions[key]

    async def described(self) -> dict[str, Any]:
        """Return the description, made where it holds nobody."""
        made = _descriptions.get((self._variant, base()))
        return made if made is not None else await apart(self.openapi)

    @cached_property
    def description_json(self) -> bytes:
        """The description as it is sent."""
        return json.dumps(self.openapi(), ensure_ascii=False, separators=(",", ":")).encode()

    def _made(self) -> dict[str, Any]:
        description = super().openapi()
        for operation in _operations(description):
            _complete(operation)
        components = description.setdefault("components", {})
        components.setdefault("securitySchemes", {})["OAuth2"] = _OAUTH2
        schemas = components.setdefault("schemas", {})
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        _, problem = models_json_schema([(ProblemDetails, "serialization")], ref_template=f"{_SCHEMAS}{{model}}")
        schemas.update(problem["$defs"])
        add_examples(description)
        return description


def _operations(description: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in description["paths"].values():
        yield from (operation for method, operation in path.items() if method in _METHODS)


def _complete(operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    if operation.get("security"):
        operation["security"] = [*operation["security"], {"OAuth2": []}]  # either of both
    if MEDIA_TYPE not in responses.get("422", {}).get("content", {MEDIA_TYPE: None}):
        del responses["422"]  # FastAPI's own, in whose form no error is told here
    for code in _implied(operation):
        _add(responses.setdefault(str(PROBLEMS[code][0]), _response()), code)
    operation["responses"] = dict(sorted(responses.items()))


def _implied(operation: dict[str, Any]) -> Iterator[str]:
    """Yield the codes of what may be wrong with any request of this form, and with the server."""
    names = {parameter["name"].lower() for parameter in operation.get("parameters", ())}
    if operation.get("security"):
        yield from ("invalid_token", "forbidden")
    if "requestBody" in operation:
        yield from ("malformed", "too_large")
    if "cursor" in names:
        yield "bad_cursor"
    if "idempotency-key" in names:
        yield from ("idempotency_key_reused", "request_in_progress")
    # A parameter that is not known is a fault, so there may be one of these where there are no parameters.
    yield from ("validation_failed", "internal_error", "unavailable")
