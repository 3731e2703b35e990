"""A drill: end the primary of a replica set of three under load, and tell what callers see. `make bench-failover`."""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from fhir_server.engine.engine import handle
from fhir_server.http.fhir import FhirApp
from fhir_server.services import services_on
from fhir_server.settings import Settings
from fhir_server.store.database.mongo import Database
from tests.store.replica_set import ReplicaSet

BASE = "http://server.test/fhir"
WRITERS = 8
READERS = 4
TRANSACTIONS = 2
WARM_UP_ANSWERS = 200
AFTERWARDS_ANSWERS = 200
PAUSE = 0.02
"""Between a refusal and the next attempt."""


@dataclass(slots=True)
class Result:
    """What one drill measured; times are seconds since the primary was ended."""

    elected: float = 0.0
    first_write: float = 0.0
    first_read: float = 0.0
    longest: float = 0.0
    answers: int = 0
    refused: int = 0
    without_retry_after: int = 0
    statuses: set[int] = field(default_factory=set)
    lost: list[str] = field(default_factory=list)
    """Acknowledged writes that are not found again."""


class Drill:
    """Readers and writers on a server in this process, whose primary is killed, or frozen, in their midst."""

    def __init__(self, nodes: ReplicaSet, *, freeze: bool = False, settings: Settings | None = None) -> None:
        self._nodes = nodes
        self._freeze = freeze
        self._settings = settings or Settings(open=True)
        self._result = Result()
        self._acknowledged: dict[str, int] = {}
        self._ended_at = 0.0
        self._elected = False
        self._done = False
        self._answered = asyncio.Event()
        self._enough = 0
        self._good = 0

    async def run(self) -> Result:
        """Return what the drill measured; the node that was ended runs again afterwards."""
        database = await Database.connect(self._nodes.url, f"drill_{time.time_ns()}")
        app = FhirApp(handle, BASE, "/fhir")
        app.services = await services_on(database, self._settings)
        transport = httpx.ASGITransport(app=app)
        headers = {"Content-Type": "application/fhir+json"}
        async with httpx.AsyncClient(transport=transport, base_url=BASE + "/", headers=headers, timeout=60) as client:
            await client.put("Patient/read", content=_patient("read", 1))
            await self._under_load(client)
            await self._look_for_what_was_acknowledged(client)
        await database.close()
        return self._result

    async def _under_load(self, client: httpx.AsyncClient) -> None:
        tasks = [asyncio.create_task(self._write(client, f"w{number}")) for number in range(WRITERS)]
        tasks += [asyncio.create_task(self._transact(client, f"t{number}")) for number in range(TRANSACTIONS)]
        tasks += [asyncio.create_task(self._read(client)) for _ in range(READERS)]
        await self._until(WARM_UP_ANSWERS)
        primary = self._nodes.primary()
        self._ended_at = time.monotonic()
        (self._nodes.pause if self._freeze else self._nodes.kill)(primary)
        await asyncio.to_thread(self._nodes.primary_other_than, primary)
        self._result.elected = time.monotonic() - self._ended_at
        self._elected = True
        while not self._result.first_write or not self._result.first_read:
            await self._until(1)
        await self._until(AFTERWARDS_ANSWERS)
        self._done = True
        await asyncio.gather(*tasks)
        if self._freeze:
            self._nodes.resume(primary)
        else:
            self._nodes.start(primary)
        await asyncio.to_thread(self._nodes.all_caught_up)

    async def _until(self, answers: int) -> None:
        self._enough = self._good + answers
        self._answered.clear()
        async with asyncio.timeout(60):
            await self._answered.wait()

    async def _write(self, client: httpx.AsyncClient, name: str) -> None:
        number = 0
        while not self._done:
            number += 1
            if await self._is_answered(client, "PUT", f"Patient/{name}", _patient(name, number)):
                self._acknowledged[name] = number

    async def _transact(self, client: httpx.AsyncClient, name: str) -> None:
        number = 0
        while not self._done:
            number += 1
            entry = {"request": {"method": "PUT", "url": f"Patient/{name}"}, "resource": _content(name, number)}
            body = json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": [entry]})
            if await self._is_answered(client, "POST", "", body):
                self._acknowledged[name] = number

    async def _read(self, client: httpx.AsyncClient) -> None:
        searches = False
        while not self._done:
            searches = not searches
            await self._is_answered(client, "GET", "Patient?_id=read" if searches else "Patient/read")

    async def _is_answered(self, client: httpx.AsyncClient, method: str, url: str, body: str | None = None) -> bool:
        started = time.monotonic()
        answer = await client.request(method, url, content=body)
        ended, result = time.monotonic(), self._result
        result.answers += 1
        result.statuses.add(answer.status_code)
        result.longest = max(result.longest, ended - started)
        if answer.status_code >= 300:
            result.refused += 1
            result.without_retry_after += "Retry-After" not in answer.headers
            await asyncio.sleep(PAUSE)
            return False
        if self._elected:
            since = ended - self._ended_at
            if method == "GET":
                result.first_read = result.first_read or since
            else:
                result.first_write = result.first_write or since
        self._good += 1
        if self._good >= self._enough:
            self._answered.set()
        return True

    async def _look_for_what_was_acknowledged(self, client: httpx.AsyncClient) -> None:
        for name, number in self._acknowledged.items():
            answer = await client.get(f"Patient/{name}")
            if answer.status_code != 200 or answer.json()["multipleBirthInteger"] < number:
                self._result.lost.append(f"Patient/{name} {number}")


def _content(name: str, number: int) -> dict[str, object]:
    return {"resourceType": "Patient", "id": name, "multipleBirthInteger": number}


def _patient(name: str, number: int) -> str:
    return json.dumps(_content(name, number))


def main() -> None:
    """Kill and freeze a primary so many times and print what was measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.failover", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="kills, and as many freezes")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as directory, ReplicaSet(Path(directory)) as nodes:
        for freeze in [False, True] * rounds:
            result = asyncio.run(Drill(nodes, freeze=freeze).run())
            print(
                f"{'frozen' if freeze else 'killed'}: elected {result.elected:.1f} s, "
                f"first write {result.first_write:.1f} s, longest answer {result.longest:.1f} s, "
                f"{result.refused} of {result.answers} answers 503, {len(result.lost)} writes lost, "
                f"statuses {sorted(result.statuses)}"
            )


if __name__ == "__main__":
    main()
