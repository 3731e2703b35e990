"""MongoDB transactions, run again after conflicts until they are through or time is up."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from pymongo import AsyncMongoClient
from pymongo.asynchronous.client_session import AsyncClientSession as Session
from pymongo.errors import OperationFailure, PyMongoError

from fhir_server.errors import Conflict, FhirError, Unavailable
from fhir_server.store.encoding import Document
from fhir_server.store.failures import TRANSIENT, translate

__all__ = ["Session", "run_in_transaction"]

T = TypeVar("T")

TRANSACTION_SECONDS = 30.0
UNKNOWN_COMMIT = "UnknownTransactionCommitResult"


async def run_in_transaction(client: AsyncMongoClient[Document], callback: Callable[[Session], Awaitable[T]]) -> T:
    """Return what the callback returns, once all it wrote is stored.

    Raises what it raises, and Conflict or Unavailable where conflicts or a lost connection outlast the time.
    """
    deadline = time.monotonic() + TRANSACTION_SECONDS
    attempt = 0
    async with client.start_session() as session:
        while True:
            try:
                return await _attempt(session, callback, deadline)
            except PyMongoError as error:
                if not error.has_error_label(TRANSIENT):
                    raise translate(error) from error
                if time.monotonic() > deadline:
                    raise _gave_up(error) from error
            attempt += 1
            await asyncio.sleep(random.uniform(0, min(0.005 * 1.5**attempt, 0.5)))  # noqa: S311 - not a secret


async def _attempt(session: Session, callback: Callable[[Session], Awaitable[T]], deadline: float) -> T:
    await session.start_transaction()
    try:
        result = await callback(session)
    except BaseException:
        if session.in_transaction:
            await session.abort_transaction()
        raise
    while True:
        try:
            await session.commit_transaction()
        except PyMongoError as error:
            # The commit may or may not have happened; to ask again is safe.
            if not error.has_error_label(UNKNOWN_COMMIT) or time.monotonic() > deadline:
                raise
        else:
            return result


def _gave_up(error: PyMongoError) -> FhirError:
    if isinstance(error, OperationFailure):
        return Conflict("Others keep changing the same resources; try again.", code="lock-error")
    return Unavailable("The database cannot be reached now; try again.")
