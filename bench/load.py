"""Integrators' load: many clients that each post patients' transaction bundles at once, and readers beside them.

`python -m bench.load` starts a server for each number of clients, so that none inherits another's database, and says
what was stored and refused, how fast, how long the readers waited, and what it took of the server and its database:
CPU a resource, and memory of the largest process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import uvloop
from rich.console import Console
from rich.table import Table

from bench.client import Connection, Target
from bench.corpus import bundles, patient, record
from bench.processes import usage
from bench.servers import Server, own_server

READERS = 4
READ_EVERY = 0.1  # seconds; readers of a fixed rate, so that they do not take more of a server that is fast
SAMPLE_EVERY = 0.1
PATIENCE = 300.0

Bundle = tuple[bytes, int]


@dataclass
class Outcome:
    """What became of one crowd of clients; times in seconds, memory in megabytes."""

    clients: int
    rate: float = 0.0
    """Resources stored a second."""
    statuses: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    """Of the bundles."""
    read_p50: float = 0.0
    read_p95: float = 0.0
    reads_failed: int = 0
    server_cpu: float = 0.0
    """Milliseconds of CPU a resource, of the server's processes, readers included; the same of its database."""
    database_cpu: float = 0.0
    worker_memory: float = 0.0
    database_memory: float = 0.0


class Crowd:
    """Clients of one server: each posts its bundles one after another."""

    def __init__(self, server: Server, clients: int, each: int, posted: Iterator[Bundle]) -> None:
        self._server = server
        self._target = Target.of(server.base_url)
        self._bundles = [[next(posted) for _ in range(each)] for _ in range(clients)]
        self._reads: list[float] = []
        self._stored = 0
        self._done = asyncio.Event()
        self.outcome = Outcome(clients)

    async def run(self) -> Outcome:
        """Post everything, with readers beside; returns what became of it."""
        path = await self._patient()
        beside = [asyncio.create_task(self._read(path)) for _ in range(READERS)]
        beside.append(asyncio.create_task(self._watch()))
        before, started = usage(self._server.pid), time.perf_counter()
        await asyncio.gather(*(self._post(own) for own in self._bundles))
        seconds = time.perf_counter() - started
        after = usage(self._server.pid)
        self._done.set()
        await asyncio.gather(*beside)
        outcome, reads = self.outcome, sorted(self._reads)
        outcome.rate = self._stored / seconds
        if before and after and self._stored:
            outcome.server_cpu = 1000 * (after.server_cpu - before.server_cpu) / self._stored
            outcome.database_cpu = 1000 * (after.database_cpu - before.database_cpu) / self._stored
        if reads:
            outcome.read_p50, outcome.read_p95 = (reads[int(share * (len(reads) - 1))] for share in (0.5, 0.95))
        return outcome

    async def _patient(self) -> str:
        connection = Connection(self._target)
        await connection.send(self._target.request("PUT", "Patient/read", _body(patient(1, "load") | {"id": "read"})))
        connection.close()
        return "Patient/read"

    async def _post(self, own: Sequence[Bundle]) -> None:
        connection = Connection(self._target, PATIENCE)
        for body, entries in own:
            begun = time.perf_counter()
            try:
                reply = await connection.send(self._target.request("POST", "", body))
            except (OSError, TimeoutError) as error:
                self.outcome.statuses[type(error).__name__] += 1
                continue
            self.outcome.slowest = max(self.outcome.slowest, time.perf_counter() - begun)
            self.outcome.statuses[str(reply.status)] += 1
            self._stored += entries if reply.status == 200 else 0
        connection.close()

    async def _read(self, path: str) -> None:
        connection = Connection(self._target, PATIENCE)
        request = self._target.request("GET", path)
        while not self._done.is_set():
            begun = time.perf_counter()
            reply = await connection.send(request)
            self._reads.append(time.perf_counter() - begun)
            self.outcome.reads_failed += reply.status != 200
            await asyncio.sleep(READ_EVERY)
        connection.close()

    async def _watch(self) -> None:
        while not self._done.is_set():
            used = usage(self._server.pid)
            if used is not None:
                self.outcome.worker_memory = max(self.outcome.worker_memory, used.server_memory)
                self.outcome.database_memory = max(self.outcome.database_memory, used.database_memory)
            await asyncio.sleep(SAMPLE_EVERY)


def _body(resource: object) -> bytes:
    return json.dumps(resource, separators=(",", ":")).encode()


def _posted(folder: Path | None, size: int, least: int) -> Iterator[Bundle]:
    """Yield transaction bundles for ever: those of a folder that have enough entries, else invented ones."""
    if folder is not None:
        large = [bundle for bundle in bundles(folder, "load") if bundle[1] >= least]
        if not large:
            raise SystemExit(f"{folder} has no transaction bundle of {least} entries or more.")
        while True:
            yield from large
    number = 20_000_000
    while True:
        yield _body(record(number, "load", size)), size + 1
        number += 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", type=Path, help="folder of transaction bundles, such as Synthea's; else invented ones"
    )
    parser.add_argument("--least", type=int, default=250, help="entries that a bundle of the folder must have")
    parser.add_argument("--size", type=int, default=600, help="entries of an invented bundle")
    parser.add_argument("--clients", default="1,2,4,10,20,40", help="clients at once, a list")
    parser.add_argument("--bundles", type=int, default=40, help="bundles in all, at least one a client")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--cache", help="gigabytes of the database's cache; by default what the server chooses")
    parser.add_argument("--json", type=Path, default=Path("bench-load.json"), help="where to write the figures")
    return parser.parse_args()


def _show(console: Console, outcomes: Sequence[Outcome]) -> None:
    table = Table(title="Transaction bundles, many clients at once")
    for name in ("clients", "resources/s", "of the best", "answers", "slowest s", "read p50 / p95 ms", "CPU ms", "MB"):
        table.add_column(name, justify="right")
    best = max(outcome.rate for outcome in outcomes)
    for outcome in outcomes:
        answers = ", ".join(f"{count} x {status}" for status, count in sorted(outcome.statuses.items()))
        table.add_row(
            str(outcome.clients),
            f"{outcome.rate:.0f}",
            f"{outcome.rate / best:.2f}" if best else "",
            answers,
            f"{outcome.slowest:.1f}",
            f"{1000 * outcome.read_p50:.0f} / {1000 * outcome.read_p95:.0f}",
            f"{outcome.server_cpu:.2f} + {outcome.database_cpu:.2f}",
            f"{outcome.worker_memory:.0f} / {outcome.database_memory:.0f}",
        )
    console.print(table)


def main() -> None:
    """Measure, print and write the figures."""
    arguments = _arguments()
    console = Console(width=None if sys.stdout.isatty() else 140)
    if arguments.cache:
        os.environ["FHIR_SERVER_MONGOD_CACHE_GB"] = arguments.cache
    outcomes: list[Outcome] = []
    for clients in map(int, arguments.clients.split(",")):
        console.print(f"{clients} clients ...")
        posted = _posted(arguments.data, arguments.size, arguments.least)
        with (
            tempfile.TemporaryDirectory(prefix="fhir-bench-") as folder,
            own_server(Path(folder) / "data", arguments.workers) as server,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            crowd = Crowd(server, clients, max(1, arguments.bundles // clients), posted)
            outcomes.append(runner.run(crowd.run()))
    _show(console, outcomes)
    arguments.json.write_text(json.dumps([vars(outcome) for outcome in outcomes], indent=2) + "\n")
    console.print(f"Written to {arguments.json}")


if __name__ == "__main__":
    main()
