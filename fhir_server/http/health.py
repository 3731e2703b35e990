"""Health checks for an orchestrator: is the process up, and can it serve."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse

from fhir_server.errors import FhirError


async def live(request: Request) -> JSONResponse:
    """Answer 200 as long as the process answers at all."""
    return JSONResponse({"status": "up"})


async def ready(request: Request) -> JSONResponse:
    """Answer 200 when the database takes requests, else 503."""
    try:
        await request.app.state.services.database.ping()
    except FhirError:
        return JSONResponse({"status": "the database does not answer"}, 503, {"Retry-After": "5"})
    return JSONResponse({"status": "ready"})
