"""Websockets of Subscriptions: neither one address nor one client takes the room of all others."""

from __future__ import annotations

from contextlib import AsyncExitStack

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.subscriptions.conftest import created, lab, server, subscription, until_status
from tests.subscriptions.test_websocket import by_websocket, heard, token_for, url

__all__ = ["lab", "server", "url"]

MOST = 10


async def test_sockets_are_counted_by_address_and_by_owner(lab: httpx.AsyncClient, url: str) -> None:
    """Those that are bound to nothing count for their address, the others for whoever owns the Subscriptions."""
    made = await created(lab, by_websocket(subscription("", "Observation")))
    await until_status(lab, made["id"], "active")
    token = await token_for(lab, made["id"])
    async with AsyncExitStack() as opened:
        sockets = [await opened.enter_async_context(connect(url)) for _ in range(MOST)]
        with pytest.raises(InvalidStatus):
            await connect(url)
        for socket in sockets:
            await socket.send(f"bind-with-token {token}")
            assert await heard(socket) == f"bound {made['id']}"
        late = await opened.enter_async_context(connect(url))
        await late.send(f"bind-with-token {token}")
        assert "max_streams_per_user" in await heard(late)
