"""What a hostile caller costs others: CPU, memory, and how long another user's read and /health/live take meanwhile.

`make bench-attacks` starts a server, fills it a little, sends each request of `attack_inputs`, and prints a line for
each; then another, with accounts, for those of `attack_forms`. It ends with code 1 where a request is answered by 5xx
or not at all, or passes a bar: 2 CPU seconds (2 ms more for each entry of a bundle), 200 MB, 250 ms for the others at
the 99th percentile.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from bench.attack_definitions import attacks_on_definitions
from bench.attack_forms import attacks_without_account
from bench.attack_inputs import Attack, attacks
from bench.client import Connection, Target
from bench.processes import Usage, usage
from bench.servers import Server, own_server

_CPU = 2.0
_CPU_AN_ENTRY = 0.002
_MEMORY = 200.0
_LATENCY = 0.250
_PAUSE = 0.01
_CALIBRATING = 5.0
_FULLY_BUSY = 0.5
"""Seconds that the others are watched at least."""


@dataclass(frozen=True)
class Outcome:
    """What one attack did; CPU is without what the others' requests take."""

    attack: Attack
    statuses: Counter[int]
    told: str
    seconds: float
    cpu: float
    database_cpu: float
    memory: float
    latency: float
    """Of the others: the 99th percentile, the highest where there are few."""

    def faults(self) -> list[str]:
        """Return the bars that were passed."""
        attack = self.attack
        found = []
        if any(status >= 500 or status == 0 for status in self.statuses):
            found.append("status")
        if self.cpu / attack.callers > _CPU + _CPU_AN_ENTRY * attack.entries:
            found.append("CPU")
        if self.memory / attack.callers > _MEMORY:
            found.append("memory")
        if self.latency > _LATENCY:
            found.append("latency")
        return found

    def line(self) -> str:
        """Return the line of the report."""
        shown = " ".join(f"{status}x{count}" if count > 1 else str(status) for status, count in self.statuses.items())
        return (
            f"{self.attack.name[:36]:37}{shown:>14}{self.seconds:8.2f} s{self.cpu:8.2f} s{self.database_cpu:8.2f} s"
            f"{self.memory:7.0f} MB{self.latency * 1000:7.0f} ms  {','.join(self.faults()) or 'ok'}  {self.told[:90]}"
        )


async def _fill(target: Target) -> None:
    connection = Connection(target)
    patients = [{"resourceType": "Patient", "id": f"p{at}", "name": [{"family": f"Family{at}"}]} for at in range(50)]
    patients += [
        {"resourceType": "Patient", "id": "target", "name": [{"family": "Target", "given": ["A", "B"]}]},
        {"resourceType": "Patient", "id": "wide", "name": [{"family": f"F{at}"} for at in range(500)]},
        {
            "resourceType": "Patient",
            "id": "narrated",
            "text": {
                "status": "generated",
                "div": f"<div xmlns='http://www.w3.org/1999/xhtml'>{'x' * 900_000}</div>",
            },
        },
    ]
    observations = [
        {
            "resourceType": "Observation",
            "id": f"o{at}",
            "status": "final",
            "category": [{"text": "vital signs"}],
            "code": {"coding": [{"system": "http://loinc.org", "code": "8480-6"}], "text": "Systolic blood pressure"},
            "subject": {"reference": f"Patient/{'target' if at % 4 == 0 else f'p{at % 50}'}"},
            "effectiveDateTime": f"2024-01-{at % 28 + 1:02}T10:00:00Z",
            "valueQuantity": {
                "value": 100 + at % 50,
                "unit": "mmHg",
                "system": "http://unitsofmeasure.org",
                "code": "mm[Hg]",
            },
        }
        for at in range(1200)
    ]
    resources = patients + observations
    for start in range(0, len(resources), 300):
        entries = [
            {"resource": each, "request": {"method": "PUT", "url": f"{each['resourceType']}/{each['id']}"}}
            for each in resources[start : start + 300]
        ]
        body = json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries}).encode()
        reply = await connection.send(target.request("POST", "", body))
        if reply.status != 200:
            raise RuntimeError(f"The server could not be filled: {reply.status} {reply.body[:300]!r}")
    connection.close()


async def _watch(target: Target, done: asyncio.Event, latencies: list[float]) -> None:
    """Read a Patient and /health/live in turn, on a connection kept, until the attack is over."""
    connection = Connection(target)
    health = Target(target.host, target.port, "", target.tls).request("GET", "/health/live")
    read = target.request("GET", "Patient/p1")
    while not done.is_set():
        for request in (read, health):
            started = time.perf_counter()
            await connection.send(request)
            latencies.append(time.perf_counter() - started)
        await asyncio.sleep(_PAUSE)
    connection.close()


async def _peak(pid: int | None, done: asyncio.Event) -> float:
    """Return the most memory that the server's largest process had."""
    most = 0.0
    while not done.is_set():
        now = usage(pid)
        most = max(most, now.server_memory if now else 0.0)
        await asyncio.sleep(0.03)
    return most


async def _sent(target: Target, attack: Attack) -> tuple[int, bytes]:
    connection = Connection(target)
    try:
        reply = await connection.send(target.request(attack.method, attack.path, attack.body, **attack.headers))
    except (OSError, TimeoutError) as error:
        return 0, str(error).encode()
    finally:
        connection.close()
    return reply.status, reply.body[:400]


@dataclass(frozen=True)
class _Costs:
    """CPU seconds that are not an attack's: of each request of those who watch, and of the server's jobs a second."""

    watching: float
    idle: float


async def _carry_out(server: Server, target: Target, attacked: Target, attack: Attack, costs: _Costs) -> Outcome:
    done = asyncio.Event()
    latencies: list[float] = []
    before, begun = usage(server.pid) or Usage(), time.perf_counter()
    watching = [asyncio.create_task(_watch(target, done, latencies)) for _ in range(2)]
    peak = asyncio.create_task(_peak(server.pid, done))
    await asyncio.sleep(0.05)
    started = time.perf_counter()
    replies = await asyncio.gather(*[_sent(attacked, attack) for _ in range(attack.callers)])
    seconds = time.perf_counter() - started
    await asyncio.sleep(max(0, _FULLY_BUSY - seconds))
    done.set()
    await asyncio.gather(*watching)
    most, after = await peak, usage(server.pid) or Usage()
    others = costs.watching * len(latencies) + costs.idle * (time.perf_counter() - begun)
    ordered = sorted(latencies)
    return Outcome(
        attack,
        Counter(status for status, _ in replies),
        next((_text(body) for status, body in replies if status >= 400 or status == 0), ""),
        seconds,
        max(0.0, after.server_cpu - before.server_cpu - others),
        after.database_cpu - before.database_cpu,
        max(0.0, most - before.server_memory),
        ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))],
    )


async def _costs(server: Server, target: Target) -> _Costs:
    """Return what the server takes where nothing is asked but by those who watch, and where nothing is asked at all."""
    before, begun = usage(server.pid) or Usage(), time.perf_counter()
    await asyncio.sleep(_CALIBRATING)
    between, middle = usage(server.pid) or Usage(), time.perf_counter()
    idle = (between.server_cpu - before.server_cpu) / (middle - begun)
    done, latencies = asyncio.Event(), list[float]()
    watching = asyncio.create_task(_watch(target, done, latencies))
    await asyncio.sleep(_CALIBRATING)
    done.set()
    await watching
    after = usage(server.pid) or Usage()
    busy = after.server_cpu - between.server_cpu - idle * (time.perf_counter() - middle)
    return _Costs(max(0.0, busy) / len(latencies), idle)


def _text(body: bytes) -> str:
    text = body.decode(errors="replace")
    return text.partition('"diagnostics":"')[2] or text


async def _run(server: Server, area: str) -> int:
    """Send the requests to FHIR, of a caller who may do everything."""
    target = Target.of(server.base_url)
    await _fill(target)
    every = (*attacks(), *attacks_on_definitions())
    return await _all(server, target, target, [attack for attack in every if area in attack.name])


async def _run_without_account(server: Server, area: str) -> int:
    """Send the requests of a caller who has no account, beside one who reads with a token."""
    target = Target.of(server.base_url, {"Authorization": f"Bearer {server.token}"})
    await _fill(target)
    root = Target(target.host, target.port, "", target.tls)
    return await _all(server, target, root, [attack for attack in attacks_without_account() if area in attack.name])


async def _all(server: Server, target: Target, attacked: Target, chosen: list[Attack]) -> int:
    head = ("answer", "time", "CPU", "mongod", "memory", "others")
    print(f"{'':37}{head[0]:>14}{head[1]:>10}{head[2]:>10}{head[3]:>10}{head[4]:>10}{head[5]:>10}")
    costs = await _costs(server, target)
    failed = 0
    for attack in chosen:
        outcome = await _carry_out(server, target, attacked, attack, costs)
        failed += bool(outcome.faults())
        print(outcome.line(), flush=True)
    print(f"{failed} of them pass a bar." if failed else "None passes a bar.")
    return 1 if failed else 0


def main() -> int:
    """Run the bench; return its exit code."""
    parser = argparse.ArgumentParser(prog="bench.attacks", description=__doc__)
    parser.add_argument("--only", default="", help="those requests whose name has this in it")
    parser.add_argument("--base-url", help="a server that runs already, instead of one of its own; it is written to")
    given = parser.parse_args()
    if given.base_url:
        return asyncio.run(_run(Server(given.base_url), given.only))
    with tempfile.TemporaryDirectory() as place, own_server(Path(place), 1) as server:
        failed = asyncio.run(_run(server, given.only))
    with tempfile.TemporaryDirectory() as place, own_server(Path(place), 1, authorize=True) as server:
        return asyncio.run(_run_without_account(server, given.only)) or failed


if __name__ == "__main__":
    sys.exit(main())
