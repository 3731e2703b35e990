"""Health checks for an orchestrator: is the process of use, and can it serve now."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse

from fhir_server.errors import FhirError
from fhir_server.http.stopping import Stopping


async def live(request: Request) -> JSONResponse:
    """Answer 200, but 503 when the database has answered this process nothing for long and only a new one can help."""
    if request.app.state.watch.is_silent:
        return JSONResponse({"status": "the database answers this process nothing"}, 503, {"Retry-After": "5"})
    return JSONResponse({"status": "up"})


async def ready(request: Request) -> JSONResponse:
    """Answer 200 when the database takes requests and the server is not about to stop, else 503."""
    stopping: Stopping = request.app.state.stopping
    if stopping.signalled:
        return JSONResponse({"status": "stopping"}, 503, {"Retry-After": "5"})
    try:
        await request.app.state.services.database.ping()
    except FhirError as error:
        reason = {"status": "the database does not answer", "reason": str(error)}
        return JSONResponse(reason, 503, {"Retry-After": "5"})
    return JSONResponse({"status": "ready"})
