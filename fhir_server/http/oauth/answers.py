"""JSON answers of OAuth endpoints, errors included, which nobody may cache. https://www.rfc-editor.org/rfc/rfc6749#section-5.2"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from fhir_server.errors import FhirError
from fhir_server.http import log
from fhir_server.http.audit.audit_context import seen

Endpoint = Callable[[Request], Awaitable[Response]]

NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class OAuthError(Exception):
    """A request that an OAuth endpoint refuses; `error` is one of the codes of the specification."""

    def __init__(
        self, error: str, description: str, status: int = 400, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(description)
        self.error = error
        self.description = description
        self.status = status
        self.headers = dict(headers or {})


def answer(content: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return a JSON answer that is not cached."""
    return JSONResponse(dict(content), status, {**NO_STORE, **(headers or {})})


def endpoint(handler: Endpoint) -> Endpoint:
    """Return the handler with its errors turned into JSON."""

    @wraps(handler)
    async def handle(request: Request) -> Response:
        try:
            return await handler(request)
        except OAuthError as error:
            seen().reason = f"{error.error}: {error.description}"
            content = {"error": error.error, "error_description": error.description}
            return answer(content, error.status, error.headers)
        except FhirError as error:
            first = error.issues[0]
            content = {"error": "invalid_request", "error_description": first.diagnostics}
            return answer(content, error.status, error.headers)
        except Exception as error:  # the one place where a fault of ours becomes an answer
            reference = log.fault(error)
            return answer({"error": "server_error", "error_description": f"Logged under {reference}."}, 500)

    return handle
