"""Subscriptions by websocket: R4's bind and ping, binding tokens, and who may be bound to what."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import uvicorn
from playwright.async_api import async_playwright
from websockets.asyncio.client import ClientConnection, connect

from fhir_server.http.connections import BoundedProtocol
from tests.needs import chromium
from tests.smart.over_http import free_port
from tests.smart_server import SmartServer
from tests.subscriptions.conftest import created, observation, subscription, until_status
from tests.subscriptions.test_topics import by_topic, encounter


@pytest.fixture
async def url(server: SmartServer) -> AsyncIterator[str]:
    """Yield the URL of the socket of the server, which is served over HTTP as it is in earnest."""
    port = free_port()
    config = uvicorn.Config(
        server.app, port=port, log_level="error", lifespan="off", http=BoundedProtocol, ws="websockets-sansio"
    )
    serving = uvicorn.Server(config)
    task = asyncio.create_task(serving.serve())
    while not serving.started:  # noqa: ASYNC110 - uvicorn tells by this flag alone
        await asyncio.sleep(0.02)
    yield f"ws://127.0.0.1:{port}/fhir/_websocket"
    serving.should_exit = True
    await task


def by_websocket(made: dict[str, Any]) -> dict[str, Any]:
    """Return a Subscription whose channel is a websocket instead."""
    channel = {name: value for name, value in made["channel"].items() if name != "endpoint"}
    return {**made, "channel": {**channel, "type": "websocket"}}


async def heard(socket: ClientConnection) -> str:
    """Return the next message."""
    async with asyncio.timeout(20):
        return str(await socket.recv())


async def token_for(client: httpx.AsyncClient, subscription_id: str) -> str:
    """Return a binding token."""
    answer = await client.get(f"Subscription/{subscription_id}/$get-ws-binding-token")
    assert answer.status_code == 200, answer.text
    parameters = {each["name"]: each for each in answer.json()["parameter"]}
    assert parameters["websocket-url"]["valueUrl"].endswith("/fhir/_websocket")
    return str(parameters["token"]["valueString"])


async def test_bind_and_ping(lab: httpx.AsyncClient, url: str) -> None:
    """Whoever is bound hears of each match; what came while nobody was is told at once."""
    made = await created(lab, by_websocket(subscription("", "Observation?code=1234")))
    await until_status(lab, made["id"], "active")
    await created(lab, observation("1234"))
    async with connect(url, additional_headers={"Authorization": lab.headers["Authorization"]}) as socket:
        await socket.send(f"bind {made['id']}")
        assert await heard(socket) == f"bound {made['id']}"
        assert await heard(socket) == f"ping {made['id']}"
        await created(lab, observation("999"))
        await created(lab, observation("1234"))
        assert await heard(socket) == f"ping {made['id']}"


async def test_a_topic_is_told_in_notifications(lab: httpx.AsyncClient, url: str) -> None:
    """A token binds: a handshake comes, then each event as a Bundle with its number."""
    made = await created(lab, by_websocket(by_topic("", content="full-resource")))
    await until_status(lab, made["id"], "active")
    async with connect(url) as socket:
        await socket.send(f"bind-with-token {await token_for(lab, made['id'])}")
        assert '"handshake"' in await heard(socket)
        stored = await created(lab, encounter())
        reported = json.loads(await heard(socket))
        assert reported["entry"][1]["resource"] == stored


async def test_others_are_not_bound(lab: httpx.AsyncClient, server: SmartServer, url: str) -> None:
    """Without a token, with another's, or with one that is none, nothing is heard; nor is a token given to others."""
    made = await created(lab, by_websocket(subscription("", "Observation")))
    await until_status(lab, made["id"], "active")
    other = server.fhir(await server.system_token("system/*.cruds"))
    assert (await other.get(f"Subscription/{made['id']}/$get-ws-binding-token")).status_code == 403
    for headers in ({}, {"Authorization": other.headers["Authorization"]}):
        async with connect(url, additional_headers=headers) as socket:
            for text in (f"bind {made['id']}", "bind-with-token nonsense", "bind none", "nonsense", "x" * 10_000):
                await socket.send(text)
                assert (await heard(socket)).startswith("error"), text
    with pytest.raises(Exception, match="403"):
        await connect(url, additional_headers={"Authorization": "Bearer nonsense"})
    with pytest.raises(Exception, match="403"):
        await connect(url.replace("_websocket", "Patient"))


async def test_a_browser_hears(lab: httpx.AsyncClient, url: str) -> None:
    """A page in Chromium binds by a token and hears the ping."""
    made = await created(lab, by_websocket(subscription("", "Observation")))
    await until_status(lab, made["id"], "active")
    script = """([url, token]) => new Promise((resolve, reject) => {
      const heard = [], socket = new WebSocket(url);
      socket.onopen = () => socket.send("bind-with-token " + token);
      socket.onmessage = (event) => { heard.push(event.data); if (heard.length === 2) resolve(heard); };
      socket.onerror = () => reject("refused");
    })"""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        page = await browser.new_page()
        hearing = asyncio.create_task(page.evaluate(script, [url, await token_for(lab, made["id"])]))
        await created(lab, observation("1"))
        assert await hearing == [f"bound {made['id']}", f"ping {made['id']}"]
        await browser.close()
