"""Carries out a request that was taken, with the rights that its caller still has."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeAlias, cast

import structlog
from msgspec.structs import replace

from fhir_server.engine.access import acts_for
from fhir_server.engine.bulk.steps import access_of
from fhir_server.engine.context import Context, Handling, Request, Response, Return, Services, now
from fhir_server.engine.disclosure import disclosing
from fhir_server.engine.engine import handle
from fhir_server.engine.interactions.preconditions import etag
from fhir_server.errors import FhirError, Issue, Unavailable, operation_outcome
from fhir_server.r4 import values
from fhir_server.store.work.async_requests import AsyncRequest, AsyncRequestStore
from fhir_server.work.budget import Budget, counted, working

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Carried:
    """A request that has been carried out, with what came of it; no `response` where it failed."""

    finished: AsyncRequest
    answer: bytes
    request: Request | None = None
    response: Response | None = None


Tell: TypeAlias = "Callable[[Carried], Awaitable[None]]"
"""Has the audit trail learn of what was carried out, before its answer can be fetched."""


async def carry_out(services: Services, store: AsyncRequestStore, taken: AsyncRequest, tell: Tell) -> None:
    """Carry out a request and store its answer, whatever that is; raises Unavailable where the database is away."""
    with disclosing() as disclosure:
        try:
            carried = await _answered(services, store, taken)
        except Unavailable:
            raise
        except FhirError as error:
            carried = Carried(replace(taken, status=error.status), values.encode(error.outcome()))
        except Exception as error:
            log.error("async_request.failed", kind=type(error).__name__)
            carried = Carried(*_failure(taken, "The server met a fault of its own."))
    finished = carried.finished
    patients, questions = tuple(disclosure.patients), tuple(disclosure.questions)
    acted_for = tuple(one for one in finished.acted_for if one in disclosure.patients)
    finished = replace(finished, patients=patients, questions=questions, acted_for=acted_for)
    await tell(Carried(finished, carried.answer, carried.request, carried.response))
    await store.finish(_over(services, finished), carried.answer)


async def give_up(services: Services, store: AsyncRequestStore, taken: AsyncRequest) -> None:
    """Answer for a request whose worker died while it was carried out."""
    text = (
        "The server ended while the request was carried out: what it asks for may have been done, or a part of it. "
        "Look, and ask again."
    )
    finished, answer = _failure(taken, text)
    await store.finish(_over(services, finished), answer)


async def _answered(services: Services, store: AsyncRequestStore, taken: AsyncRequest) -> Carried:
    context = Context(
        services,
        taken.base_url,
        await access_of(services, taken.token, taken.base_url),
        prefer_return=cast("Return | None", taken.prefer_return),
        handling=cast("Handling", taken.handling),
    )
    body = await store.body(taken)
    resource: Any = values.decode(body) if body else None
    request = Request(taken.method, taken.path, list(taken.query), resource, size=len(body))
    budget = Budget(services.settings.max_async_seconds, caller=f"async {taken.owner}", setting="max_async_seconds")
    with working(budget):
        response = await counted(handle(context, request), budget)
    tag = "" if response.version is None else etag(response.version)
    acted_for = tuple(sorted(acts_for(context.access) or ()))
    finished = replace(taken, status=response.status, location=response.location or "", etag=tag, acted_for=acted_for)
    return Carried(finished, response.json or b"", request, response)


def _failure(taken: AsyncRequest, text: str) -> tuple[AsyncRequest, bytes]:
    return replace(taken, status=500), values.encode(operation_outcome([Issue("exception", text)]))


def _over(services: Services, taken: AsyncRequest) -> AsyncRequest:
    finished = now()
    return replace(taken, finished=finished, expires=finished + timedelta(hours=services.settings.export_keep_hours))
