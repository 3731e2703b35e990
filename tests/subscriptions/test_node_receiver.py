"""A receiver written in Node takes signed notifications, and refuses forged ones."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
from pathlib import Path

import httpx

from tests.needs import need
from tests.subscriptions.conftest import created, until_status
from tests.subscriptions.test_topics import by_topic, encounter

SCRIPT = Path(__file__).with_name("receiver.mjs")
SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()


async def test_a_receiver_in_node_understands(lab: httpx.AsyncClient) -> None:
    """It verifies each signature as the document says, and reads numbers and resources."""
    node = shutil.which("node")
    need(node, "nodejs")
    process = await asyncio.create_subprocess_exec(str(node), str(SCRIPT), SECRET, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    port = int(await process.stdout.readline())
    made = by_topic(f"http://127.0.0.1:{port}/", content="full-resource")
    url = "https://hms.example.org/fhir/StructureDefinition/subscription-secret"
    made["channel"]["extension"] = [{"url": url, "valueString": SECRET}]
    subscribed = await created(lab, made)
    await until_status(lab, subscribed["id"], "active")
    stored = [(await created(lab, encounter()))["id"] for _ in range(3)]
    taken = []
    async with asyncio.timeout(60):
        while sum(len(each["numbers"]) for each in taken) < 3:
            taken.append(json.loads(await process.stdout.readline()))
    assert taken[0]["type"] == "handshake"
    assert [number for each in taken for number in each["numbers"]] == ["1", "2", "3"]
    assert [resource for each in taken for resource in each["resources"]] == stored
    forged = {**made, "channel": {**made["channel"], "extension": [{"url": url, "valueString": SECRET[:-2] + "A="}]}}
    refused = await created(lab, forged)
    await until_status(lab, refused["id"], "error")
    process.terminate()
    await process.wait()
