"""A worker notices that its database answers nothing, and tells that from a database that is down."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pymongo import AsyncMongoClient

from fhir_server.store.database.mongo import Database
from fhir_server.store.database.watching import DatabaseWatch

SILENCE = 3.0


@asynccontextmanager
async def _watched(database: Database) -> AsyncIterator[tuple[DatabaseWatch, asyncio.Event]]:
    given_up = asyncio.Event()
    watch = DatabaseWatch(database, SILENCE, given_up.set)
    watch.start()
    try:
        yield watch, given_up
    finally:
        watch.stop()


async def test_a_pool_that_is_stuck_is_silence(database: Database) -> None:
    """Where the driver neither answers nor fails, the worker says so and gives up; half of the time before the end."""
    await database.ping()
    (server,) = database.client._topology._servers.values()
    await server.pool.lock.acquire()  # as a waiter that was cancelled at the wrong moment leaves it
    async with _watched(database) as (watch, given_up), asyncio.timeout(30):
        await _until(watch, silent=True)
        assert not given_up.is_set()
        await given_up.wait()
    server.pool.lock.release()


async def test_a_database_that_takes_connections_and_says_nothing_is_silence() -> None:
    """As behind a firewall that drops what it is sent."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        async with (
            _unconnected(nobody.getsockname()[1]) as database,
            _watched(database) as (_, given_up),
            asyncio.timeout(30),
        ):
            await given_up.wait()


async def test_a_database_that_is_down_is_no_silence(database: Database) -> None:
    """Refused connections say enough: a new process would fare no better. An answer ends a silence."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    async with _unconnected(port) as down, _watched(down) as (watch, given_up):
        for _ in range(3):
            assert not await watch._probe() or watch._silence == 0
        assert not given_up.is_set()
        assert await watch._probe()
    async with _watched(database) as (watch, _), asyncio.timeout(30):
        watch._silence = SILENCE / 2
        assert watch.is_silent
        await _until(watch, silent=False)


async def _until(watch: DatabaseWatch, *, silent: bool) -> None:
    while watch.is_silent is not silent:  # noqa: ASYNC110 - it is a property that changes with time
        await asyncio.sleep(0.05)


@asynccontextmanager
async def _unconnected(port: int) -> AsyncIterator[Database]:
    client: AsyncMongoClient[Any] = AsyncMongoClient(
        f"mongodb://127.0.0.1:{port}/?directConnection=true",
        serverSelectionTimeoutMS=500,
        connectTimeoutMS=300,
        socketTimeoutMS=300,
    )
    try:
        yield Database(client, "none")
    finally:
        await client.close()
