"""The batch and transaction interactions. https://hl7.org/fhir/R4/http.html#transaction."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fhir_server.engine.context import Context, Request, Response
from fhir_server.engine.entries import bundle_entries, entry_request, failure_entry, response_bundle, response_entry
from fhir_server.engine.routes import Route, route
from fhir_server.engine.transaction import transaction
from fhir_server.errors import BadRequest, FhirError


async def process(context: Context, request: Request, found: Route) -> Response:
    """Carry out the Bundle in the body: a batch entry by entry, a transaction as a whole."""
    if request.place:
        raise BadRequest("A bundle cannot be processed inside a bundle.", expression=request.place)
    kind, entries = bundle_entries(context, request)
    if kind == "transaction":
        return Response(200, response_bundle(kind, await transaction(context, entries)))
    return Response(
        200, response_bundle(kind, [await _batch_entry(context, entry, i) for i, entry in enumerate(entries)])
    )


async def _batch_entry(context: Context, entry: object, position: int) -> dict[str, Any]:
    assert context.dispatch is not None
    try:
        request = entry_request(context, entry, position)
        response = await context.dispatch(replace(context), request)
        return response_entry(context, request, route(request.method, request.path), response)
    except FhirError as error:
        return failure_entry(error)
