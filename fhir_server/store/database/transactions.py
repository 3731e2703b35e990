"""MongoDB transactions, run again after conflicts until they are through or time is up.

A transaction is rolled back when another changes what it changes, and also when the database's cache has no room for
what it has written: MongoDB tells both by the same code. So after a second failure it runs alone, which ends either.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pymongo
from pymongo import AsyncMongoClient
from pymongo.asynchronous.client_session import AsyncClientSession as Session
from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError

from fhir_server.errors import FhirError, TooLarge, Unavailable
from fhir_server.store.database.encoding import Document
from fhir_server.store.database.failures import TRANSIENT, CacheFull, translate
from fhir_server.store.database.outage import away
from fhir_server.store.database.turns import Turns

__all__ = ["FillsCache", "RolledBack", "Session", "run_in_transaction"]

T = TypeVar("T")

TRANSACTION_SECONDS = 30.0
AWAY_SECONDS = 2.5
"""How long a database that is away, or has no majority, is waited for, beside the time that one command takes."""
ABORT_SECONDS = 0.5
"""How long to tell the database of a transaction that is given up; it ends it by itself in the end."""
UNKNOWN_COMMIT = "UnknownTransactionCommitResult"
_BESIDE_OTHERS = 2
"""Attempts before a transaction runs alone."""


class RolledBack(Unavailable):
    """The database rolled a transaction back again and again until its time was up: for conflicts, or want of room."""


class FillsCache(TooLarge):
    """The database's cache has no room for a transaction even when it runs alone."""


async def run_in_transaction(
    client: AsyncMongoClient[Document], callback: Callable[[Session], Awaitable[T]], turns: Turns
) -> T:
    """Return what the callback returns, once all it wrote is stored.

    Raises what it raises, RolledBack or Unavailable where failures outlast the time, and FillsCache.
    """
    deadline = time.monotonic() + TRANSACTION_SECONDS
    away_until: float | None = None
    attempt = 0
    async with client.start_session() as session:
        while True:
            alone = attempt >= _BESIDE_OTHERS
            try:
                async with turns.take(alone=alone):
                    return await _attempt(session, callback, deadline)
            except (CacheFull, PyMongoError) as error:
                full = _fills_cache(error)
                if full and alone:
                    raise FillsCache from error
                if isinstance(error, ConnectionFailure):
                    away_until = away_until or time.monotonic() + AWAY_SECONDS
                    deadline = min(deadline, away_until)
                if time.monotonic() > deadline:
                    raise _gave_up(error) from error
            attempt = max(attempt + 1, _BESIDE_OTHERS if full else 0)
            await asyncio.sleep(random.uniform(0, min(0.005 * 1.5**attempt, 0.5)))  # noqa: S311 - not a secret


def _fills_cache(error: Exception) -> bool:
    """Return whether the transaction filled the cache; raises the error unless the transaction is to be run again."""
    if isinstance(error, PyMongoError) and error.has_error_label(TRANSIENT):
        return False
    if isinstance(error, CacheFull):
        return True
    translated = translate(error)
    if isinstance(translated, CacheFull):
        return True
    raise translated from error


async def _attempt(session: Session, callback: Callable[[Session], Awaitable[T]], deadline: float) -> T:
    await session.start_transaction()
    try:
        result = await callback(session)
    except BaseException:
        if session.in_transaction:
            with pymongo.timeout(ABORT_SECONDS):
                await session.abort_transaction()
        raise
    deadline = min(deadline, time.monotonic() + AWAY_SECONDS)
    while True:
        try:
            await session.commit_transaction()
        except PyMongoError as error:
            # The commit may or may not have happened; to ask again is safe.
            if not error.has_error_label(UNKNOWN_COMMIT) or time.monotonic() > deadline:
                raise
        else:
            return result


def _gave_up(error: Exception) -> FhirError:
    if isinstance(error, OperationFailure):
        return RolledBack("The database is too busy to carry this out now; nothing of it is stored. Try again.")
    return error if isinstance(error, FhirError) else away()
