"""The command `subscription`, and what `status` and metrics count."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest
from typer.testing import CliRunner

from fhir_server.cli.main import app
from fhir_server.store.work.queues import queues
from tests.smart_server import SmartServer
from tests.subscriptions.conftest import created, observation, subscription, until
from tests.subscriptions.receiver import Receiver


async def test_the_command_tells_how_it_stands(
    server: SmartServer,
    lab: httpx.AsyncClient,
    receiver: Receiver,
    mongod_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`list` counts events, `log` has each delivery with the receiver's status; neither tells an endpoint or header."""
    receiver.answer = lambda _: "500 Internal Server Error"
    made = await created(lab, subscription(receiver.url, "Observation", header=["X-Key: 12345"]))
    await created(lab, observation("1"))
    states = server.services.database.collection("server_subscriptions")
    await until(lambda: states.find_one({"_id": made["id"], "attempts": {"$gt": 0}}))
    monkeypatch.setenv("FHIR_SERVER_DATABASE_NAME", server.services.database.name)

    async def said(*words: str) -> str:
        result = await asyncio.to_thread(
            CliRunner().invoke, app, ["subscription", *words, "--database-url", mongod_url]
        )
        assert result.exit_code == 0, result.output
        return result.output

    (listed,) = json.loads(await said("list"))
    assert (listed["id"], listed["status"], listed["pending"]) == (made["id"], "active", 1)
    logged = await said("log", made["id"])
    assert json.loads(logged)["log"][0]["status"] == 500
    assert receiver.url not in logged
    assert "12345" not in logged
    queue = next(each for each in await queues(server.services.database) if each.name == "subscriptions")
    assert queue.waiting == 1
