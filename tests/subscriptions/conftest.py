"""Fixtures: a server with authorization whose partners live in this network, and a receiver."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from fhir_server.store.database.mongo import Database
from tests.smart_server import SmartServer, smart_server
from tests.subscriptions.receiver import SECONDS, Receiver, receiving

T = TypeVar("T")


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Yield a receiver."""
    async with receiving() as made:
        yield made


@pytest.fixture
async def server(database: Database, mongod_url: str, tmp_path: Path) -> AsyncIterator[SmartServer]:
    """Yield the server."""
    async with smart_server(mongod_url, database.name, tmp_path, allow_internal_urls=True) as made:
        yield made


@pytest.fixture
async def lab(server: SmartServer) -> AsyncIterator[httpx.AsyncClient]:
    """Yield the FHIR client of a service that may do everything."""
    async with server.fhir(await server.system_token("system/*.cruds")) as client:
        yield client


def subscription(endpoint: str, criteria: str, **channel: Any) -> dict[str, Any]:
    """Return a Subscription by rest-hook."""
    return {
        "resourceType": "Subscription",
        "status": "requested",
        "reason": "To be told",
        "criteria": criteria,
        "channel": {"type": "rest-hook", "endpoint": endpoint, **channel},
    }


def observation(code: str, **elements: Any) -> dict[str, Any]:
    """Return an Observation."""
    return {"resourceType": "Observation", "status": "final", "code": {"coding": [{"code": code}]}, **elements}


async def created(client: httpx.AsyncClient, resource: dict[str, Any]) -> dict[str, Any]:
    """Return the resource as it was stored."""
    answer = await client.post(resource["resourceType"], json=resource)
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def until(question: Callable[[], Awaitable[T]]) -> T:
    """Return what is answered, once it is something: another process tells of it by nothing that could be awaited."""
    async with asyncio.timeout(SECONDS):
        while True:
            if answer := await question():
                return answer
            await asyncio.sleep(0.05)


async def until_status(client: httpx.AsyncClient, subscription_id: str, status: str) -> dict[str, Any]:
    """Return the Subscription once it has the status."""

    async def asked() -> dict[str, Any] | None:
        result: dict[str, Any] = (await client.get(f"Subscription/{subscription_id}")).json()
        return result if result["status"] == status else None

    result = await until(asked)
    assert result is not None
    return result
