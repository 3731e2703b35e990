"""Receivers of notifications that answer for ever, nonsense, or not at all cost a bounded time and hold nobody up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import httpx

from tests.smart_server import SmartServer
from tests.subscriptions.conftest import created, lab, observation, receiver, server, subscription, until
from tests.subscriptions.receiver import Receiver

__all__ = ["lab", "receiver", "server"]

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
TIMEOUT = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-timeout"


async def _silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def _closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def _nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x00\xff\r\n\r\n" * 100)
    await writer.drain()
    writer.close()


async def _endless(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        writer.write(head)
        while True:
            writer.write(b"X-Filler: " + b"x" * 1000 + b"\r\n")
            await writer.drain()


async def _endless_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _endless(b"HTTP/1.1 200 OK\r\n", reader, writer)


async def _endless_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _endless(b"HTTP/1.1 500 No\r\nContent-Type: text/plain\r\n\r\n", reader, writer)


HOSTILE: tuple[Serve, ...] = (_silent, _closing, _nonsense, _endless_head, _endless_body)


async def test_hostile_receivers_are_contained(server: SmartServer, lab: httpx.AsyncClient, receiver: Receiver) -> None:
    """Each counts as a failure within its timeout, is tried again later, and others are told meanwhile."""
    listening = [await asyncio.start_server(serve, "127.0.0.1", 0) for serve in HOSTILE]
    hostile = []
    for each in listening:
        url = f"http://127.0.0.1:{each.sockets[0].getsockname()[1]}/"
        extension = [{"url": TIMEOUT, "valueUnsignedInt": 1}]
        hostile.append((await created(lab, subscription(url, "Observation", extension=extension)))["id"])
    await created(lab, subscription(receiver.url, "Observation"))
    await created(lab, observation("1"))
    await receiver.wait_for(1)
    states = server.services.database.collection("server_subscriptions")

    async def all_failed() -> bool:
        failed = await states.count_documents({"_id": {"$in": hostile}, "attempts": {"$gte": 2}, "delivered": 0})
        return bool(failed == len(HOSTILE))

    assert await until(all_failed)
    for each in listening:
        each.close()
