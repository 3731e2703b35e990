"""The batch and transaction interactions. https://hl7.org/fhir/R4/http.html#transaction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from fhir_server.engine.context import Context, Request, Response
from fhir_server.engine.routes import Route, route_of
from fhir_server.engine.transaction.entries import (
    SECONDS_AN_ENTRY,
    bundle_entries,
    entry_request,
    failure_entry,
    response_bundle,
    response_entry,
)
from fhir_server.engine.transaction.independent_creates import IndependentCreates
from fhir_server.engine.transaction.transaction import transaction
from fhir_server.errors import BadRequest, FhirError, TooLarge
from fhir_server.work.budget import LOOK_EVERY, current, spend, together
from fhir_server.work.threads import breathe


async def process(context: Context, request: Request, route: Route) -> Response:
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
    answers: list[dict[str, Any]] = []
    size = 0
    for run in _runs(context, entries):
        if size > limit:
            answers += [failure_entry(_too_much(limit)) for _ in run]
        elif len(run) == 1:
            answers.append(await _batch_entry(context, entries[run.start], run.start))
        else:
            answers += await together(*(_batch_entry(context, entries[position], position) for position in run))
        size += sum(len(bytes(answered.get("resource", b""))) for answered in answers[run.start :])
    return answers


def _runs(context: Context, entries: list[dict[str, Any]]) -> Iterator[range]:
    """Yield the positions of the entries in parts that are carried out one after another, each part at once.

    Several are in a part where they share commands that way and none has to do with another of them.
    """
    run, start = IndependentCreates(), 0
    for position, entry in enumerate(entries):
        # What is answered whole is carried out one by one, as far as there is room for answers.
        if context.prefer_return == "representation" or not run.take(entry):
            if start < position:
                yield range(start, position)
            start, run = position, IndependentCreates()
            run.take(entry)
    if start < len(entries):
        yield range(start, len(entries))


def _too_much(limit: int) -> TooLarge:
    return TooLarge(f"The answer of the batch is larger than {limit} bytes (max_answer_bytes).", code="too-costly")


async def _batch_entry(context: Context, entry: object, position: int) -> dict[str, Any]:
    assert context.dispatch is not None
    await breathe()
    try:
        spend(LOOK_EVERY)  # where the budget is used up, entries are refused before anything is done for them
        request = entry_request(context, entry, position)
        response = await context.dispatch(replace(context), request)
        return response_entry(context, request, route_of(request.method, request.path), response)
    except FhirError as error:
        return failure_entry(error)
