"""The batch and transaction interactions. https://hl7.org/fhir/R4/http.html#transaction."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fhir_server.engine.context import Context, Request, Response
from fhir_server.engine.routes import Route, route
from fhir_server.engine.transaction.entries import (
    SECONDS_AN_ENTRY,
    bundle_entries,
    entry_request,
    failure_entry,
    response_bundle,
    response_entry,
)
from fhir_server.engine.transaction.transaction import transaction
from fhir_server.errors import BadRequest, FhirError, TooLarge
from fhir_server.work.budget import LOOK_EVERY, current, spend
from fhir_server.work.threads import breathe


async def process(context: Context, request: Request, found: Route) -> Response:
    """Carry out the Bundle in the body: a batch entry by entry, a transaction as a whole."""
    if request.place:
        raise BadRequest("A bundle cannot be processed inside a bundle.", expression=request.place)
    kind, entries = bundle_entries(context, request)
    budget = current()
    if budget is not None:
        budget.extend(SECONDS_AN_ENTRY * len(entries))
    if kind == "transaction":
        return Response(200, response_bundle(kind, await transaction(context, entries, request.size)))
    return Response(200, response_bundle(kind, await _batch(context, entries)))


async def _batch(context: Context, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    limit = context.services.settings.max_answer_bytes
    found, size = [], 0
    for position, entry in enumerate(entries):
        answered = await _batch_entry(context, entry, position) if size <= limit else failure_entry(_too_much(limit))
        size += len(bytes(answered.get("resource", b"")))
        found.append(answered)
    return found


def _too_much(limit: int) -> TooLarge:
    return TooLarge(f"The answer of the batch is larger than {limit} bytes (max_answer_bytes).", code="too-costly")


async def _batch_entry(context: Context, entry: object, position: int) -> dict[str, Any]:
    assert context.dispatch is not None
    await breathe()
    try:
        spend(LOOK_EVERY)  # where the budget is used up, entries are refused before anything is done for them
        request = entry_request(context, entry, position)
        response = await context.dispatch(replace(context), request)
        return response_entry(context, request, route(request.method, request.path), response)
    except FhirError as error:
        return failure_entry(error)
