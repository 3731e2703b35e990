"""The bench measures what it says it measures."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from bench.client import Connection, Target
from bench.corpus import observation, patient, record
from bench.measurement import Limits, measure
from bench.processes import usage
from fhir_server.r4.validation import validate

_OK = frozenset({200})


@asynccontextmanager
async def _server(answer: Callable[[int], bytes]) -> AsyncIterator[Target]:
    """A server of bodiless requests; `answer` gives the bytes of the n-th answer."""
    numbers = itertools.count()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(answer(next(numbers)))

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield Target.of(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/fhir")


def _answer(status: int, body: bytes = b"{}") -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


def test_a_request_has_the_headers_of_its_kind() -> None:
    """The path stands under the base, a body has a length and a type, and given headers win."""
    target = Target.of("http://example.org/fhir/", {"Authorization": "Bearer x"})
    request = target.request("POST", "Patient", b"{}", If_None_Exist="a=b").decode()
    assert request.startswith("POST /fhir/Patient HTTP/1.1\r\nHost: example.org:80\r\n")
    assert "Authorization: Bearer x\r\n" in request
    assert "Content-Length: 2\r\n" in request
    assert request.endswith("If-None-Exist: a=b\r\n\r\n{}")
    assert target.request("POST", "").startswith(b"POST /fhir HTTP/1.1\r\n")


async def test_replies_arrive_whole() -> None:
    """Chunked and sized bodies are put together, and an interim answer is passed over."""
    chunked = b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    interim = b"HTTP/1.1 103 X\r\n\r\n" + _answer(404, b"no")
    async with _server(lambda number: chunked if number == 0 else interim) as target:
        connection = Connection(target)
        assert await connection.send(target.request("GET", "a")) == (200, b"abc")
        assert await connection.send(target.request("GET", "a")) == (404, b"no")
        connection.close()


async def test_refusals_are_failures_not_results() -> None:
    """An answer of another status than expected has no part in the rate, and is counted under its status."""
    async with _server(lambda number: _answer(500 if number % 2 else 200)) as target:
        requests = ((target.request("GET", "a"), 3) for _ in itertools.count())
        limits = Limits(seconds=10, requests=50)
        measured = await measure("w", target, requests, _OK, concurrency=1, limits=limits)
    assert measured.requests == 50
    assert abs(measured.failures["HTTP 500"] - 50) <= 1
    assert measured.rate * measured.seconds == pytest.approx(150)
    assert 0 < measured.p50 <= measured.p95 <= measured.p99


async def test_a_server_that_only_refuses_ends_the_measurement() -> None:
    """A workload that a server does not have costs no more than some hundred requests."""
    async with _server(lambda _: _answer(501)) as target:
        requests = ((target.request("GET", "a"), 1) for _ in itertools.count())
        measured = await measure("w", target, requests, _OK, concurrency=4, limits=Limits(seconds=60))
    assert measured.requests == 0
    assert 100 < measured.failures["HTTP 501"] < 120


def test_the_data_is_valid() -> None:
    """What the bench sends is FHIR, so that no server refuses it."""
    for resource in (patient(7, "run"), observation("Patient/1", 3), record(1, "run", 3)):
        assert [issue for issue in validate(resource, max_depth=50) if issue.severity == "error"] == []


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs /proc")
def test_a_process_tree_is_measured() -> None:
    """The CPU and memory of a process are found, and nothing without one."""
    result = usage(os.getpid())
    assert result is not None
    assert result.server_memory > 10
    assert result.server_cpu > 0
    assert usage(None) is None
