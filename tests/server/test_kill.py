"""The promise that nothing acknowledged is lost, tried on a real server that is killed in the middle of writes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.server.running import RunningServer

WRITERS = 4
BUNDLE_SIZE = 5


@dataclass
class Acknowledged:
    """What the server has said 2xx to."""

    created: set[str] = field(default_factory=set)
    versions: dict[str, int] = field(default_factory=dict)
    bundles: set[str] = field(default_factory=set)


async def _creating(client: httpx.AsyncClient, acknowledged: Acknowledged, writer: int) -> None:
    made = await client.post("Patient", json={"resourceType": "Patient", "active": True})
    if made.status_code == 201:
        acknowledged.created.add(made.json()["id"])


async def _updating(client: httpx.AsyncClient, acknowledged: Acknowledged, writer: int) -> None:
    name = f"u{writer}"
    version = acknowledged.versions.get(name, 0) + 1
    organization = {"resourceType": "Organization", "id": name, "name": f"{version}"}
    if (await client.put(f"Organization/{name}", json=organization)).status_code in (200, 201):
        acknowledged.versions[name] = version


async def _bundling(client: httpx.AsyncClient, acknowledged: Acknowledged, writer: int) -> None:
    name = f"b{writer}.{len(acknowledged.bundles)}"
    resource = {"resourceType": "Basic", "code": {"text": "x"}, "identifier": [{"value": name}]}
    entry = {"resource": resource, "request": {"method": "POST", "url": "Basic"}}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry] * BUNDLE_SIZE}
    if (await client.post("", json=bundle)).status_code == 200:
        acknowledged.bundles.add(name)


Writer = Callable[[httpx.AsyncClient, Acknowledged, int], Awaitable[None]]


async def _write_until_killed(server: RunningServer, acknowledged: Acknowledged, seconds: float) -> None:
    async def go_on(write: Writer, writer: int) -> None:
        with contextlib.suppress(httpx.HTTPError):
            while True:
                await write(client, acknowledged, writer)

    async with httpx.AsyncClient(base_url=server.base_url, timeout=10) as client:
        writers = [go_on(write, n) for write in (_creating, _updating, _bundling) for n in range(WRITERS)]
        running = [asyncio.create_task(writer) for writer in writers]
        await asyncio.sleep(seconds)
        server.kill()
        await asyncio.gather(*running)


async def _all(client: httpx.AsyncClient, url: str | None) -> list[dict[str, object]]:
    collected: list[dict[str, object]] = []
    while url:
        bundle = (await client.get(url)).raise_for_status().json()
        collected += [entry["resource"] for entry in bundle.get("entry", ()) if "resource" in entry]
        url = next((link["url"] for link in bundle["link"] if link["relation"] == "next"), None)
    return collected


async def test_nothing_acknowledged_is_lost_when_server_and_database_are_killed(tmp_path: Path) -> None:
    """After kill -9: every acknowledged write is there, each transaction is whole or absent, versions have no gap."""
    acknowledged = Acknowledged()
    with RunningServer(tmp_path / "data") as server:
        await _write_until_killed(server, acknowledged, 2.0)
    assert acknowledged.created
    assert acknowledged.bundles
    assert acknowledged.versions
    with RunningServer(tmp_path / "data") as server:
        async with httpx.AsyncClient(base_url=server.base_url, timeout=30) as client:
            patients = {str(patient["id"]) for patient in await _all(client, "Patient?_count=1000")}
            assert acknowledged.created <= patients
            await _versions_have_no_gap(client, acknowledged)
            await _bundles_are_whole(client, acknowledged)


async def _versions_have_no_gap(client: httpx.AsyncClient, acknowledged: Acknowledged) -> None:
    for name, version in acknowledged.versions.items():
        history = await _all(client, f"Organization/{name}/_history?_count=1000")
        # One more than was acknowledged may have been stored when the answer was cut off.
        assert len(history) in (version, version + 1)
        items = [(resource["meta"]["versionId"], resource["name"]) for resource in history]  # type: ignore[index]
        assert items == [(str(n), str(n)) for n in range(len(history), 0, -1)]


async def _bundles_are_whole(client: httpx.AsyncClient, acknowledged: Acknowledged) -> None:
    counts: dict[str, int] = {}
    for resource in await _all(client, "Basic?_count=1000"):
        name = resource["identifier"][0]["value"]  # type: ignore[index]
        counts[name] = counts.get(name, 0) + 1
    assert acknowledged.bundles <= set(counts)
    # Names that were never acknowledged may be used again by the same writer, so whole means a multiple.
    assert {count % BUNDLE_SIZE for count in counts.values()} == {0}


def test_a_second_server_on_the_same_directory_is_refused(tmp_path: Path) -> None:
    """It says which process holds the directory, and the first goes on."""
    with RunningServer(tmp_path / "data") as first:
        second = RunningServer(tmp_path / "data")
        assert "in use by process" in second.start_and_fail()
        assert httpx.get(f"{first.base_url}metadata").status_code == 200


def test_a_server_told_to_stop_ends_its_database(tmp_path: Path) -> None:
    """SIGTERM ends server and mongod cleanly with exit code 0 (or by the signal itself)."""
    with RunningServer(tmp_path / "data") as server:
        mongod = server.mongod_pid
        assert server.process is not None
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) in (0, -signal.SIGTERM)
        with contextlib.suppress(ProcessLookupError):
            os.kill(mongod, 0)
            raise AssertionError("the mongod is still there")


def test_workers_end_with_the_process_that_was_killed(tmp_path: Path) -> None:
    """kill -9 of a server with two workers frees its port and its data directory: it starts again as it was."""
    with RunningServer(tmp_path / "data", "--workers", "2") as server:
        httpx.put(f"{server.base_url}Patient/a", json={"resourceType": "Patient", "id": "a"}).raise_for_status()
        assert server.process is not None
        server.process.kill()
        server.process.wait()
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", server.port), timeout=1):
                time.sleep(0.1)
                continue
            break
    with server:
        assert httpx.get(f"{server.base_url}Patient/a").status_code == 200
