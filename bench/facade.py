"""What the facade costs: each endpoint beside the FHIR interactions that it stands for, in CPU of the same server.

`python -m bench.facade` starts a server with the demo clinic, signs a user up and takes turns: a few calls of the
endpoint, then the same number of times its interactions, one connection each. The mark is three times.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console
from rich.table import Table

from bench.client import Connection, Reply, Target
from bench.facade_endpoints import ENDPOINTS, LEFT_OUT, Ask, Endpoint, Scene, booking, encoded, openings, record
from bench.processes import usage
from bench.servers import Server, own_server

MARK = 3.0
_BLOCK = 10


@dataclass(slots=True)
class Cost:
    """What one side took, a time: milliseconds of the server's CPU, of the database's, and of waiting."""

    server: float = 0.0
    database: float = 0.0
    waiting: float = 0.0


class Bench:
    """One user of one server, and a service that may do everything over FHIR."""

    def __init__(self, server: Server, times: int) -> None:
        self.server, self.times = server, times
        self._root = Target.of(server.base_url.removesuffix("/fhir"))
        self._user = Connection(self._root)
        self._fhir = Connection(Target.of(server.base_url))
        self._tokens = {"user": "", "service": server.token or ""}
        self.scene = Scene("")

    async def facade(self, ask: Ask) -> Any:
        """Return what an endpoint answers to the user."""
        method, path, body = ask
        headers = {"Content_Type": "application/json", "Accept": "application/json"}
        return _decoded(await self._send(self._user, "user", method, path.lstrip("/"), body, headers), ask)

    async def fhir(self, ask: Ask) -> Any:
        """Return what a FHIR interaction answers: the user where a user may, else the service."""
        method, path, body = ask
        who = "user" if method == "GET" and not path.startswith("PaymentReconciliation") else "service"
        return _decoded(await self._send(self._fhir, who, method, path, body, {}), ask)

    async def _send(
        self, connection: Connection, who: str, method: str, path: str, body: Any, headers: dict[str, str]
    ) -> Reply:
        token = {"Authorization": f"Bearer {self._tokens[who]}"} if self._tokens[who] else {}
        request = connection.target.request(method, path.replace("|", "%7C"), encoded(body), **headers, **token)
        return await connection.send(request)

    async def prepare(self) -> None:
        """Sign the user up and make what the endpoints are asked about."""
        account = {"first_name": "Ada", "last_name": "Bench", "email": "ada@example.org", "phone": "+12025550143"}
        signed_in = await self.facade(("POST", "/user/signup", {**account, "password": "correct horse battery"}))
        self._tokens["user"] = signed_in["access_token"]
        scene = self.scene = Scene(signed_in["patient"], openings=openings(datetime.now(UTC).date()))
        times = self.times
        scene.booked = [await self._booked(scene.openings[n]) for n in range(2 * times)]
        scene.appointment = (await self._booked(scene.openings[2 * times]))["id"]
        for resource in record(scene, times):
            await self.fhir(("PUT", f"{resource['resourceType']}/{resource['id']}", resource))
        family = {"name": "Ida", "relation": "child", "dob": "2015-01-01"}
        scene.members = [await self.facade(("POST", "/user/family", family)) for _ in range(times)]
        scene.arrived, scene.seen = scene.booked[:times], scene.booked[:times]
        await self._notified(times)

    async def _booked(self, when: tuple[str, str]) -> dict[str, Any]:
        found: dict[str, Any] = await self.facade(("POST", "/booking/appointments", booking(when)))
        return found

    async def _notified(self, times: int) -> None:
        """Wait until the notifications of what was booked are there."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            page = await self.facade(("GET", "/notifications?limit=100", None))
            if page["total"] >= times:
                self.scene.notes = page["items"]
                return
            await asyncio.sleep(0.5)
        raise RuntimeError("The notifications do not come.")

    async def measure(self, endpoint: Endpoint) -> tuple[Cost, Cost]:
        """Return what the endpoint costs, and what its interactions do."""
        facade, fhir = Cost(), Cost()
        scene, times = self.scene, min(self.times, len(self.scene.notes))
        for first in range(0, times, _BLOCK):
            block = range(first, min(first + _BLOCK, times))
            await self._run(facade, ((self.facade, [endpoint.facade(scene, n)]) for n in block))
            await self._run(fhir, ((self.fhir, endpoint.fhir(scene, n)) for n in block))
        for cost in (facade, fhir):
            cost.server, cost.database, cost.waiting = (
                1000 * value / times for value in (cost.server, cost.database, cost.waiting)
            )
        return facade, fhir

    async def _run(self, cost: Cost, work: Iterable[tuple[Any, Sequence[Ask]]]) -> None:
        prepared = list(work)
        before, began = usage(self.server.pid), time.perf_counter()
        for send, asks in prepared:
            for ask in asks:
                await send(ask)
        after = usage(self.server.pid)
        cost.waiting += time.perf_counter() - began
        if before and after:
            cost.server += after.server_cpu - before.server_cpu
            cost.database += after.database_cpu - before.database_cpu


def _decoded(reply: Reply, ask: Ask) -> Any:
    if reply.status >= 400:
        raise RuntimeError(f"{ask[0]} {ask[1]}: {reply.status} {reply.body[:300].decode(errors='replace')}")
    try:
        return json.loads(reply.body) if reply.body else None
    except ValueError:
        return reply.body


async def _run(server: Server, times: int, only: str, console: Console) -> list[dict[str, Any]]:
    bench = Bench(server, times)
    console.print("Preparing a user ...")
    await bench.prepare()
    rows = []
    for endpoint in ENDPOINTS:
        if only not in endpoint.name:
            continue
        console.print(f"{endpoint.number} {endpoint.name} ...")
        facade, fhir = await bench.measure(endpoint)
        rows.append(
            {
                "endpoint": endpoint.number,
                "name": endpoint.name,
                "interactions": len(endpoint.fhir(bench.scene, 0)),
                "cpu": round(facade.server, 2),
                "fhir_cpu": round(fhir.server, 2),
                "ratio": round(facade.server / fhir.server, 2) if fhir.server else None,
                "with_database_ratio": round((facade.server + facade.database) / (fhir.server + fhir.database), 2),
                "waiting": round(facade.waiting, 2),
                "fhir_waiting": round(fhir.waiting, 2),
            }
        )
    return rows


def _print(rows: list[dict[str, Any]], console: Console) -> None:
    table = Table("#", "endpoint", title="The facade beside FHIR, a call")
    for heading in ("interactions", "CPU ms", "FHIR CPU", "ratio", "with database", "wait ms", "FHIR wait"):
        table.add_column(heading, justify="right")
    for row in rows:
        ratio = row["ratio"]
        shown = "" if ratio is None else f"[{'green' if ratio <= MARK else 'red'}]{ratio:.2f}[/]"
        before = [str(row[name]) for name in ("endpoint", "name", "interactions", "cpu", "fhir_cpu")]
        after = [str(row[name]) for name in ("with_database_ratio", "waiting", "fhir_waiting")]
        table.add_row(*before, shown, *after)
    console.print(table)
    console.print(f"Left out, since they cost a password or stand for no interaction: {', '.join(LEFT_OUT.values())}")


def main() -> None:
    """Measure, print and write the figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.facade", description="Measure what the facade costs.")
    parser.add_argument("--times", type=int, default=50, help="each endpoint is called; at most 90")
    parser.add_argument("--only", default="", help="measure the endpoints whose name contains this")
    parser.add_argument("--json", type=Path, default=Path("bench-facade.json"), help="where to write the figures")
    arguments = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 140)
    # So that the endpoints of a visit can be called for visits of coming months.
    os.environ["FHIR_SERVER_ARRIVAL_HOURS_BEFORE"] = "100000"
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fhir-bench-")))
        server = stack.enter_context(own_server(folder / "data", 1, authorize=True, options=("--demo",)))
        runner = stack.enter_context(asyncio.Runner(loop_factory=uvloop.new_event_loop))
        rows = runner.run(_run(server, min(arguments.times, 90), arguments.only, console))
    _print(rows, console)
    about = {"date": date.today().isoformat(), "cpus": os.cpu_count(), "times": arguments.times, "endpoints": rows}
    arguments.json.write_text(json.dumps(about, indent=2) + "\n")
    console.print(f"Written to {arguments.json}")


if __name__ == "__main__":
    main()
