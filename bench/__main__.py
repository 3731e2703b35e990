"""The bench's command line."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import uvloop
from rich.console import Console

from bench.client import Connection, Target
from bench.corpus import Corpus, bundles
from bench.measurement import Limits, Measurement, measure
from bench.processes import usage
from bench.report import Report
from bench.servers import Server, limit_program, own_server
from bench.storage import storage
from bench.workloads import Requests, Workload, workloads


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure a FHIR server.")
    parser.add_argument("--base-url", help="a running server; by default the bench starts this project's own")
    parser.add_argument("--data", type=Path, help="folder of transaction bundles, such as Synthea's, to load")
    parser.add_argument("--pid", type=int, help="process of the running server, to measure its CPU and memory")
    parser.add_argument("--workers", type=int, default=1, help="of the server that the bench starts")
    parser.add_argument(
        "--authorize", action="store_true", help="have the bench's own server ask for a token each time"
    )
    parser.add_argument("--concurrency", default="1,16", help="connections at once, a list")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--requests", type=int, default=20_000, help="of each measurement at most")
    parser.add_argument("--patients", type=int, default=2000, help="to load before")
    parser.add_argument("--only", default="", help="measure the workloads whose name contains this")
    parser.add_argument("--header", action="append", default=[], help="'Name: value' to send with every request")
    parser.add_argument("--no-limit", action="store_true", help="leave the limit program out")
    parser.add_argument("--database-url", help="MongoDB for the limit program, by default one of the bench's own")
    parser.add_argument("--json", type=Path, default=Path("bench-result.json"), help="where to write the figures")
    return parser.parse_args()


async def _run(arguments: argparse.Namespace, server: Server, limit: Server | None, console: Console) -> Report:
    headers = dict(header.split(": ", 1) for header in arguments.header)
    if server.token is not None:
        headers["Authorization"] = f"Bearer {server.token}"
    target, corpus = Target.of(server.base_url, headers), Corpus()
    console.print(f"Loading {arguments.patients} patients ...")
    started = time.perf_counter()
    loaded = await corpus.load(target, arguments.patients, observed=min(100, arguments.patients // 2))
    loading = loaded / (time.perf_counter() - started)
    chosen = workloads(target, corpus, await corpus.age(target), bundles(arguments.data, corpus.run))
    report = Report(server.base_url, start=server.start, loading=loading)
    for workload in chosen:
        if arguments.only in workload.name:
            await _measure(arguments, workload, target, server, limit, report, console)
    report.memory = usage(server.pid)
    report.storage = storage(server.database_url)
    return report


async def _measure(
    arguments: argparse.Namespace,
    workload: Workload,
    target: Target,
    server: Server,
    limit: Server | None,
    report: Report,
    console: Console,
) -> None:
    limits = Limits(arguments.seconds, arguments.requests)
    general = tuple(int(number) for number in arguments.concurrency.split(","))
    requests = workload.requests()
    for concurrency in workload.concurrencies or general:
        console.print(f"{workload.name}, {concurrency} at once ...")
        beside = await _measure_limit(workload, concurrency, limit, limits)
        measured = await measure(
            workload.name,
            target,
            requests,
            workload.statuses,
            concurrency=concurrency,
            limits=limits,
            pid=server.pid,
        )
        if workload.searches:
            measured.entries = await _entries(target, requests)
        report.add(measured, beside, workload.mark, own=workload.concurrencies is not None)


async def _entries(target: Target, requests: Requests) -> int:
    connection = Connection(target)
    reply = await connection.send(next(requests)[0])
    connection.close()
    return len(json.loads(reply.body).get("entry", [])) if reply.status == 200 else 0


async def _measure_limit(
    workload: Workload, concurrency: int, limit: Server | None, limits: Limits
) -> Measurement | None:
    if limit is None:
        return None
    target = Target.of(limit.base_url)
    return await measure(
        f"limit of {workload.name}",
        target,
        workload.limit(target),
        frozenset({200, 201, 204}),
        concurrency=concurrency,
        limits=limits,
        pid=limit.pid,
    )


def main() -> None:
    """Measure, print and write the figures."""
    arguments = _arguments()
    # Written to a file the table would be cut to 80 columns.
    console = Console(width=None if sys.stdout.isatty() else 140)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fhir-bench-")))
        if arguments.base_url:
            server = Server(arguments.base_url, arguments.pid)
        else:
            server = stack.enter_context(own_server(folder / "data", arguments.workers, authorize=arguments.authorize))
        limit = None
        if not arguments.no_limit:
            database_url = arguments.database_url or server.database_url
            limit = stack.enter_context(limit_program(database_url, folder / "limit"))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            report = runner.run(_run(arguments, server, limit, console))
    report.print(console)
    report.write(arguments.json)
    console.print(f"Written to {arguments.json}")


if __name__ == "__main__":
    main()
