"""What the OpenAPI description says beyond the endpoints themselves: every error that an endpoint may answer with."""

from __future__ import annotations

from typing import Any

from fhir_server.http.facade.problem import MEDIA_TYPE, PROBLEMS, TYPES, ProblemDetails

Responses = dict[int | str, dict[str, Any]]


def errors(*codes: str) -> Responses:
    """Return the responses that tell these problems, with an example of each."""
    responses: Responses = {}
    for code in codes:
        status, title, _ = PROBLEMS[code]
        response = responses.setdefault(
            status, {"model": ProblemDetails, "description": "", "content": {MEDIA_TYPE: {"examples": {}}}}
        )
        response["description"] = "; ".join(part for part in (response["description"], f"`{code}`: {title}") if part)
        example = {"type": TYPES + code, "title": title, "status": status, "detail": title, "code": code}
        if status == 422:
            example["errors"] = [{"field": "email", "message": "This is not an email address."}]
        response["content"][MEDIA_TYPE]["examples"][code] = {"value": example}
    return responses
