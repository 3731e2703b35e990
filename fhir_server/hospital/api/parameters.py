"""Parameters of queries and forms that an endpoint does not have: refused, as fields of JSON bodies are.

A misspelt filter that is passed over would answer with more than was asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from fhir_server.hospital.api.problem import Problem


async def only_known(request: Request) -> None:
    """Raise Problem for parameters that the description of the endpoint does not have."""
    description: Mapping[str, Any] = await request.app.described()
    operation = description["paths"][request.scope["route"].path_format][request.method.lower()]
    unknown = set(request.query_params) - {item["name"] for item in operation.get("parameters", ())}
    fields = _fields(description, operation)
    if fields and request.headers.get("content-type", "").startswith("multipart/"):
        unknown |= set(await request.form()) - fields
    if unknown:
        raise Problem("validation_failed", errors=[(name, "extra_forbidden") for name in sorted(unknown)])


def _fields(description: Mapping[str, Any], operation: Mapping[str, Any]) -> set[str]:
    content = operation.get("requestBody", {}).get("content", {})
    reference = content.get("multipart/form-data", {}).get("schema", {}).get("$ref", "")
    return set(description["components"]["schemas"].get(reference.rpartition("/")[2], {}).get("properties", ()))
