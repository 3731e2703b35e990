"""What encryption at rest costs: CPU of server and database for each kind of request, encrypted and plain.

CPU and not time, so that a busy machine says the same. `python -m bench.encryption --requests 2000`
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from bench import corpus
from bench.client import Connection, Target
from bench.processes import usage
from bench.servers import Server, own_server

_KEY = "FHIR_SERVER_ENCRYPTION_KEY"
_WITHOUT = {"FHIR_SERVER_SEARCH_CORE_DEFINITIONS": "false", "FHIR_SERVER_PUBLISH_DEFINITIONS": "false"}
"""What a server does at its first start, and that would be measured with the first requests."""
_CONNECTIONS = 8
BAR = 0.75
"""The throughput that is wanted of an encrypted server, of that of a plain one."""

Sent = tuple[str, str, bytes]


def _requests(ids: list[str], number: int) -> Iterator[tuple[str, Callable[[int], Sent]]]:
    """Yield each kind of request with what makes the one of a number; `ids` are those of patients."""
    yield "create a Patient", lambda n: ("POST", "Patient", _body(corpus.patient(n, "bench")))
    yield "create an Observation", lambda n: ("POST", "Observation", _body(corpus.observation(_subject(ids, n), n)))
    yield "transaction of 21", lambda n: ("POST", "", _body(corpus.record(n, "bench", 20)))
    yield "read", lambda n: ("GET", f"Patient/{ids[n % len(ids)]}", b"")
    yield "search by identifier", lambda n: ("GET", f"Patient?identifier={corpus.SYSTEM}|bench-{n % number}", b"")
    yield "search by name", lambda n: ("GET", f"Patient?family={corpus.patient(n, '')['name'][0]['family'][:4]}", b"")
    yield "search of one patient's", lambda n: ("GET", f"Observation?subject={_subject(ids, n)}&code=8480-6", b"")
    yield "update", lambda n: ("PUT", f"Patient/{ids[n % len(ids)]}", _body(_changed(ids[n % len(ids)], n)))


def _subject(ids: list[str], number: int) -> str:
    return f"Patient/{ids[number % len(ids)]}" if ids else "Patient/none"


def _changed(patient_id: str, number: int) -> corpus.Json:
    return {**corpus.patient(number, "changed"), "id": patient_id}


def _body(resource: corpus.Json) -> bytes:
    return json.dumps(resource).encode()


async def _measured(server: Server, number: int) -> dict[str, float]:
    """Return the CPU milliseconds that a request of each kind takes, of server and database together."""
    target = Target.of(server.base_url)
    connections = [Connection(target) for _ in range(_CONNECTIONS)]
    ids: list[str] = []
    costs: dict[str, float] = {}
    for name, made in _requests(ids, number):
        count = number // 20 if name.startswith("transaction") else number
        await _sent(target, connections, made, range(number, number + count // 10), ids)  # warms up
        before = _cpu(server)
        await _sent(target, connections, made, range(count), ids)
        costs[name] = 1000 * (_cpu(server) - before) / count
    for connection in connections:
        connection.close()
    return costs


async def _sent(
    target: Target, connections: list[Connection], made: Callable[[int], Sent], numbers: range, ids: list[str]
) -> None:
    waiting = iter(numbers)

    async def send(connection: Connection) -> None:
        for number in waiting:
            method, path, body = made(number)
            reply = await connection.send(target.request(method, path, body))
            if reply.status >= 300:
                raise RuntimeError(f"{method} {path}: {reply.status} {reply.body[:300]!r}")
            if method == "POST" and path == "Patient":
                ids.append(json.loads(reply.body)["id"])

    await asyncio.gather(*map(send, connections))


def _cpu(server: Server) -> float:
    used = usage(server.pid)
    if used is None:
        raise RuntimeError("CPU is read from /proc, which is not here.")
    return used.server_cpu + used.database_cpu


def _run(number: int, environment: Mapping[str, str]) -> dict[str, float]:
    os.environ.pop(_KEY, None)
    os.environ |= {**_WITHOUT, **environment}
    with tempfile.TemporaryDirectory() as folder, own_server(Path(folder), 1) as server:
        return asyncio.run(_measured(server, number))


def main() -> None:
    """Measure both and print a line for each kind of request."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=2000)
    number = parser.parse_args().requests
    plain, encrypted = _run(number, {}), _run(number, {_KEY: os.urandom(32).hex()})
    print(f"{'CPU ms of server and database':32} {'plain':>8} {'encrypted':>10} {'throughput':>11}")
    for name, cost in plain.items():
        print(f"{name:32} {cost:8.2f} {encrypted[name]:10.2f} {cost / encrypted[name]:11.2f}")
    total = sum(plain.values()) / sum(encrypted.values())
    print(f"{'all':32} {sum(plain.values()):8.2f} {sum(encrypted.values()):10.2f} {total:11.2f}  (bar {BAR})")


if __name__ == "__main__":
    main()
