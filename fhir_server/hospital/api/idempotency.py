"""Idempotency-Key: a request that is sent again has its effect once, and the same answer.

https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-idempotency-key-header
"""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Header
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from fhir_server.errors import FhirError
from fhir_server.hospital.api.caller import Caller
from fhir_server.hospital.api.problem import MEDIA_TYPE, Problem, answer, problem_of, refused

IdempotencyKey = Annotated[
    str | None,
    Header(min_length=1, max_length=255, description="The same key and body have one effect and the same answer."),
]
Run = Callable[[str], Awaitable[BaseModel]]
"""Carries the request out; is given the id that what it makes shall have, the same for the same key."""

_WAIT_SECONDS = 10.0
_STEP_SECONDS = 0.05


async def once(caller: Caller, name: str, key: str | None, body: BaseModel, run: Run, *, status: int = 201) -> Response:
    """Return the answer to a request: of this run, or of the one before under the same key.

    Raises Problem where the key was used with another body, or its first request is still running after a while.
    """
    if key is None:
        return _made(await run(str(uuid.uuid4())), status)
    place = hashlib.sha256("\x00".join((caller.token.subject, name, key)).encode()).hexdigest()
    fingerprint = hashlib.sha256(body.model_dump_json().encode()).hexdigest()
    kept = await _first(caller, place, fingerprint)
    if kept is not None:
        return kept
    try:
        response = _made(await run(str(uuid.UUID(place[:32]))), status)
    except FhirError as error:
        problem = problem_of(error)
        response = answer(problem, await caller.language())
        if response.status_code >= 500 or problem.problem in ("request_in_progress", "conflict"):
            await caller.server.keys.drop(place)  # it had no effect: sent again, it may have one
            raise
        await caller.server.keys.keep(place, response.status_code, bytes(response.body).decode())
        raise
    except BaseException:
        await caller.server.keys.drop(place)
        raise
    await caller.server.keys.keep(place, status, bytes(response.body).decode())
    return response


async def _first(caller: Caller, place: str, fingerprint: str) -> Response | None:
    for _ in range(int(_WAIT_SECONDS / _STEP_SECONDS)):
        kept = await caller.server.keys.begin(place, fingerprint)
        if kept is None:
            return None
        if kept.body != fingerprint:
            raise refused("idempotency-key", "idempotency_key_reused")
        if kept.status is not None:
            return _again(kept.status, kept.answer)
        await asyncio.sleep(_STEP_SECONDS)
    raise Problem("request_in_progress")


def _made(content: BaseModel, status: int) -> Response:
    return JSONResponse(content.model_dump(mode="json"), status)


def _again(status: int, body: str) -> Response:
    media_type = MEDIA_TYPE if status >= 400 else "application/json"
    return Response(body, status, {"Idempotency-Replayed": "true"}, media_type)
