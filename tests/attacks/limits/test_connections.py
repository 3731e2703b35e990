"""Connections stop nobody: not many streams that break off together, nor requests that are never finished.

The server is a process of its own, met over sockets.
"""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.server.running import RunningServer

PERSON = {"first_name": "Mara", "last_name": "Lindqvist", "password": "korrekt horse 42 staple"}
STREAMS, ROUNDS = 500, 4


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Yield a server with short limits."""
    limits = {
        "max_streams": str(STREAMS),
        "max_streams_per_user": str(STREAMS),
        "max_connections": str(STREAMS + 200),
        "head_seconds": "1",
        "body_seconds": "1",
    }
    with RunningServer(tmp_path_factory.mktemp("connections"), open_=False, **limits) as running:
        yield running


def _user(server: RunningServer, name: str) -> dict[str, Any]:
    body = {**PERSON, "email": f"{name}@example.org", "phone": f"+1207555{sum(map(ord, name)):04d}"}
    answer = httpx.post(f"{server.origin}/user/signup", json=body, timeout=30)
    assert answer.status_code == 201, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


@asynccontextmanager
async def _connection(
    server: RunningServer, sent: bytes
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(sent)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def _stream_request(headers: dict[str, Any]) -> bytes:
    lines = ["GET /notifications/stream HTTP/1.1", "Host: x", f"Authorization: {headers['Authorization']}"]
    return "\r\n".join([*lines, "", ""]).encode()


async def _begun(server: RunningServer, request: bytes) -> asyncio.StreamWriter:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request)
    head = await reader.readuntil(b"retry:")
    assert head.startswith(b"HTTP/1.1 200"), head
    return writer


async def _until_free(server: RunningServer, request: bytes) -> None:
    """Wait until all places are free again: the last one is given to who asks for it."""
    while True:
        async with _connection(server, request) as (reader, _):
            if (await reader.readline()).startswith(b"HTTP/1.1 200"):
                return
        await asyncio.sleep(0.05)


async def test_streams_that_break_off_together_cost_the_worker_nothing(server: RunningServer) -> None:
    """Hundreds of streams closed at once, again and again: afterwards the database answers as before."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    headers = _user(server, "mara")
    request = _stream_request(headers)
    async with httpx.AsyncClient(base_url=server.origin, headers=headers, timeout=20) as http:
        for _ in range(ROUNDS):
            async with asyncio.timeout(60):
                limit = asyncio.Semaphore(100)

                async def opened(limit: asyncio.Semaphore = limit) -> asyncio.StreamWriter:
                    async with limit:
                        return await _begun(server, request)

                writers = await asyncio.gather(*(opened() for _ in range(STREAMS)))
                for writer in writers:
                    writer.transport.abort()
                await _until_free(server, request)
            assert (await http.get("/health/live")).status_code == 200
            assert (await http.get("/notifications")).status_code == 200


async def test_a_user_has_a_limit_and_all_together_have_one(
    mongod_url: str, database_name: str, tmp_path: Path
) -> None:
    """One stream too many is 429 and says when to come back; the others' go on, and a place that is left is free."""
    limits = {"max_streams": "5", "max_streams_per_user": "2"}
    options = ["--database-url", mongod_url]
    with RunningServer(tmp_path, *options, open_=False, database_name=database_name, **limits) as server:
        users = [_stream_request(_user(server, name)) for name in ("anna", "berta", "carla")]
        writers = [await _begun(server, user) for user in (*users[:2], *users[:2])]
        async with _connection(server, users[0]) as (reader, _):
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            assert b"429" in head.split(b"\r\n")[0]
            assert b"retry-after:" in head
            # The body may come in a packet of its own.
            assert await reader.readuntil(b"too_many_streams")
        writers.append(await _begun(server, users[2]))
        async with _connection(server, users[2]) as (reader, _):
            assert b"429" in await reader.readline()
        writers[0].transport.abort()
        async with asyncio.timeout(20):
            await _until_free(server, users[0])
        for writer in writers:
            writer.transport.abort()


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /fhir/metadata HTTP/1.1\r\nHost: x\r\n",
        b"\r\n\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\nGET /heal",
        b"POST /fhir/Patient HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{",
        b"POST /user/signup HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{",
        b"POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n",
    ],
)
async def test_a_request_that_is_never_finished_is_ended(server: RunningServer, sent: bytes) -> None:
    """Whatever of a request is missing, the server waits for a limited time and closes the connection."""
    async with _connection(server, sent) as (reader, _), asyncio.timeout(30):
        rest = await reader.read()
    assert b"408" in rest or b"401" in rest


async def test_a_body_that_trickles_is_ended(server: RunningServer) -> None:
    """A byte now and then does not keep a request alive."""
    head = b"POST /user/signup HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\nContent-Type: application/json\r\n\r\n"
    async with _connection(server, head) as (reader, writer), asyncio.timeout(30):
        answer = asyncio.create_task(reader.read())
        while not answer.done():
            writer.write(b" ")
            await asyncio.wait({answer}, timeout=0.2)
        assert answer.result().startswith(b"HTTP/1.1 408")


async def test_a_head_without_end_is_refused(server: RunningServer) -> None:
    """Headers are limited in size too, in one line as in many."""
    for line in (b"X: " + b"a" * 200_000, b"X: y\r\n" * 40_000):
        async with _connection(server, b"GET / HTTP/1.1\r\nHost: x\r\n" + line) as (reader, _), asyncio.timeout(30):
            assert b"431" in await reader.readline()


async def test_half_open_requests_keep_nobody_out(server: RunningServer) -> None:
    """Past the limit of connections the one that has waited longest gives way to the next."""
    half = b"GET /fhir/metadata HTTP/1.1\r\nHost: x\r\n"
    writers = []
    for _ in range(STREAMS + 600):
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(half)
        writers.append(writer)
    async with httpx.AsyncClient(timeout=20) as http:
        assert (await http.get(f"{server.origin}/health/ready")).status_code == 200
    for writer in writers:
        writer.transport.abort()


async def test_it_stops_whatever_is_open(mongod_url: str, database_name: str, tmp_path: Path) -> None:
    """SIGTERM ends a server within 30 s, with streams, requests half sent and clients that read nothing."""
    options = ["--database-url", mongod_url]
    running = RunningServer(tmp_path, *options, open_=False, database_name=database_name, drain_seconds="1")
    with running as server:
        headers = _user(server, "mara")
        half = b"POST /user/signup HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
        reads_nothing = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 200
        async with (
            _connection(server, _stream_request(headers)) as (reader, _),
            _connection(server, half),
            _connection(server, reads_nothing),
        ):
            await reader.readuntil(b"retry:")
            assert server.process is not None
            began = time.monotonic()
            server.process.terminate()
            await asyncio.to_thread(server.process.wait, 35)
            assert time.monotonic() - began < 30
