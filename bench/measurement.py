"""One workload under load: requests in a closed loop on several connections, latencies and what the server used."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.client import Connection, Target
from bench.processes import Usage, usage


@dataclass
class Limits:
    """How long a workload runs: until either is reached."""

    seconds: float = 2.0
    requests: int = 20_000


@dataclass
class Measurement:
    """What a workload gave at one concurrency; times in milliseconds, `rate` of requests or of bundles' resources."""

    workload: str
    concurrency: int
    requests: int = 0
    seconds: float = 0.0
    rate: float = 0.0
    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    server_cpu: float | None = None
    """Milliseconds of CPU of the server's processes a request."""
    database_cpu: float | None = None
    failures: dict[str, int] = field(default_factory=dict)
    entries: int | None = None
    """On one of the pages: none would make the fastest search."""
    limit: str | None = None
    ratio: float | None = None
    """The rate in terms of the limit program's, at the same concurrency."""
    mark: float | None = None
    cpu_ratio: float | None = None
    """The server's CPU a request in terms of the limit program's."""

    def to_json(self) -> dict[str, Any]:
        """Return the figures, rounded."""
        rounded = {name: round(value, 3) if isinstance(value, float) else value for name, value in asdict(self).items()}
        return {name: value for name, value in rounded.items() if value not in (None, {})}


class Load:
    """Sends the requests of an iterator on several connections until the limits are reached."""

    def __init__(self, requests: Iterator[tuple[bytes, int]], statuses: frozenset[int], limits: Limits) -> None:
        self._requests = requests
        self._statuses = statuses
        self._limits = limits
        self._deadline = float("inf")
        self.latencies: list[float] = []
        self.units = 0
        self.failures: Counter[str] = Counter()

    async def run(self, connections: list[Connection]) -> float:
        """Send until the end; returns the seconds that it took."""
        started = time.perf_counter()
        self._deadline = started + self._limits.seconds
        await asyncio.gather(*(self._loop(connection) for connection in connections))
        return time.perf_counter() - started

    async def _loop(self, connection: Connection) -> None:
        clock = time.perf_counter
        for request, units in self._requests:
            begin = clock()
            try:
                reply = await connection.send(request)
            except (OSError, TimeoutError) as error:
                self.failures[type(error).__name__] += 1
            else:
                if reply.status in self._statuses:
                    self.latencies.append(clock() - begin)
                    self.units += units
                else:
                    self.failures[f"HTTP {reply.status}"] += 1
            if clock() > self._deadline or len(self.latencies) >= self._limits.requests:
                return
            if self.failures.total() > 100 and self.failures.total() > len(self.latencies):
                return


async def measure(
    name: str,
    target: Target,
    requests: Iterator[tuple[bytes, int]],
    statuses: frozenset[int],
    *,
    concurrency: int,
    limits: Limits,
    pid: int | None = None,
) -> Measurement:
    """Return what the requests (bytes, and how many units of work each is) gave; a short warm-up is not counted."""
    connections = [Connection(target) for _ in range(concurrency)]
    try:
        await Load(requests, statuses, Limits(min(0.3, limits.seconds / 4), 200)).run(connections)
        before = usage(pid)
        load = Load(requests, statuses, limits)
        seconds = await load.run(connections)
        return _summary(name, concurrency, load, seconds, before, usage(pid))
    finally:
        for connection in connections:
            connection.close()


def _summary(
    name: str, concurrency: int, load: Load, seconds: float, before: Usage | None, after: Usage | None
) -> Measurement:
    times = sorted(load.latencies)
    result = Measurement(name, concurrency, len(times), seconds, load.units / seconds, failures=dict(load.failures))
    if times:
        result.p50, result.p95, result.p99 = (
            1000 * times[int(share * (len(times) - 1))] for share in (0.5, 0.95, 0.99)
        )
    if times and before and after:
        result.server_cpu = 1000 * (after.server_cpu - before.server_cpu) / len(times)
        result.database_cpu = 1000 * (after.database_cpu - before.database_cpu) / len(times)
    return result
