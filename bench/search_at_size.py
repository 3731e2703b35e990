"""Searches on a small and on a large database: `python -m bench.search_at_size`.

A search should cost what its page holds, not what the database holds: each search of one parameter runs alone, one
after another, at every size, with 20 results a page. Beside the times stand the documents and index keys that the
database examined, the room that data and indexes take, and how fast the data was loaded with all indexes in place.

`--direct` writes the data without HTTP: `--sizes 1000000 --direct` then takes minutes. The first request of a search
is measured apart, since what it counts may be remembered.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import uvloop
from rich.console import Console
from rich.table import Table

from bench.client import Connection, Target
from bench.corpus import SYLLABLES, observation, patient
from bench.filling import fill
from bench.measurement import Limits, Measurement, measure
from bench.servers import Server, own_server
from bench.storage import Storage, storage

OBSERVATIONS = 9
"""For each patient; so a tenth of the resources are patients."""
GROUP = 10_000
GROUPS = 50
BATCH = 100
RUN = "size"
_EXAMINED = re.compile(rb"(\d+) keys and (\d+) documents examined, (\d+) returned")

Json = dict[str, Any]


@dataclass
class Size:
    """What was measured at one size."""

    resources: int
    rate: float
    """Resources loaded a second, from the size before to this one."""
    searches: dict[str, Measurement] = field(default_factory=dict)
    first: dict[str, float] = field(default_factory=dict)
    """Milliseconds of the first request of each search."""
    examined: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    """Keys and documents examined, and returned, of each search."""
    storage: Storage | None = None


def record(number: int) -> list[Json]:
    """Return a patient and the patient's observations, as entries of a transaction."""
    subject = f"Patient/{RUN}-{number}"
    chance = random.Random(-number)
    resources: list[tuple[str, Json]] = [(subject, patient(number, RUN))]
    for index in range(OBSERVATIONS):
        made = observation(subject, chance.randrange(200))
        made["valueQuantity"]["value"] = chance.randrange(10_000) / 10
        # In the corpus each code has dates of its own, so a search by code, sorted by date, would be like no other.
        del made["effectiveDateTime"]
        made |= _effective(chance)
        resources.append((f"Observation/{RUN}-{number}-{index}", made))
    return [_entry(url, resource) for url, resource in resources]


def _effective(chance: random.Random) -> Json:
    """Return when something was observed: mostly at a time, often on a day, seldom over days or weeks."""
    day = date(2010, 1, 1) + timedelta(days=chance.randrange(15 * 365))
    kind = chance.random()
    if kind < 0.05:
        return {"effectivePeriod": {"start": f"{day}", "end": f"{day + timedelta(days=chance.randrange(1, 40))}"}}
    if kind < 0.4:
        return {"effectiveDateTime": f"{day}"}
    return {"effectiveDateTime": f"{day}T{chance.randrange(24):02d}:{chance.randrange(60):02d}:00Z"}


def groups(last: int) -> list[Json]:
    """Return groups of patients as entries: one of as many members as there may be, others small."""
    sizes = [min(GROUP, last), *(10 for _ in range(GROUPS))]
    return [_entry(f"Group/{RUN}-{number}", _group(size, number)) for number, size in enumerate(sizes)]


def _group(size: int, number: int) -> Json:
    members = [{"entity": {"reference": f"Patient/{RUN}-{(number * 10 + each)}"}} for each in range(size)]
    return {"resourceType": "Group", "type": "person", "actual": True, "active": number % 2 == 0, "member": members}


def _entry(url: str, resource: Json) -> Json:
    return {"resource": resource | {"id": url.partition("/")[2]}, "request": {"method": "PUT", "url": url}}


class Values:
    """Search values, the same in every run."""

    def __init__(self, patients: int) -> None:
        self.patients = patients
        self.chance = random.Random(patients)

    def number(self) -> str:
        """Return the name of a patient, which is also the value of the identifier."""
        return f"{RUN}-{self.chance.randrange(self.patients)}"

    def month(self) -> str:
        """Return a month in which somebody may be born."""
        return f"{self.chance.randint(1930, 2019)}-{self.chance.randint(1, 12):02d}"

    def year(self) -> int:
        """Return a year of observations."""
        return self.chance.randint(2010, 2024)

    def syllables(self) -> str:
        """Return how a name may begin."""
        return "".join(self.chance.choices(SYLLABLES, k=2))

    def gender(self) -> str:
        """Return a gender."""
        return self.chance.choice(("male", "female"))

    def amount(self) -> int:
        """Return an amount that observations have."""
        return self.chance.randrange(900)


def searches(patients: int) -> dict[str, Iterator[str]]:
    """Return for each one-parameter search its URLs, with values that change from one to the next."""
    values = Values(patients)
    found = {
        f"{resource_type} {parameter}": _urls(f"{resource_type}?{parameter}", value)
        for resource_type, found in (("Patient", _of_patients(values)), ("Observation", _of_observations(values)))
        for parameter, value in found.items()
    }
    return found | {url.format("..."): _filled(url, value) for url, value in _of_ranges(values).items()}


def _urls(search: str, value: Callable[[], object]) -> Iterator[str]:
    while True:
        yield f"{search}{quote(str(value()))}&_count=20"


def _filled(url: str, value: Callable[[], object]) -> Iterator[str]:
    while True:
        yield url.format(value())


def _of_patients(values: Values) -> dict[str, Callable[[], object]]:
    return {
        "identifier=": values.number,
        "family=": values.syllables,
        "name:contains=": lambda: values.syllables()[:2],
        "birthdate=": values.month,
        "birthdate=ge": values.month,
        "gender=": values.gender,
        "gender:not=": values.gender,
        "gender:missing=": lambda: "false",
        "death-date:missing=": lambda: "true",
        "_lastUpdated=ge": lambda: "2020",
        "_sort=": lambda: "birthdate",
        "_sort=-": lambda: "birthdate",
        "_has:Observation:patient:code=": lambda: "8480-6",
    }


def _of_observations(values: Values) -> dict[str, Callable[[], object]]:
    return {
        "patient=": values.number,
        "code=http://loinc.org|": lambda: "8480-6",
        "combo-code=": lambda: "8867-4",
        "date=": values.year,
        "date=lt": values.year,
        "value-quantity=": values.amount,
        "value-quantity=gt": values.amount,
        "code-value-quantity=8480-6$gt": values.amount,
        "patient.identifier=": values.number,
        "patient.family=": values.syllables,
        "_sort=-": lambda: "date",
        "_sort=-date&code=": lambda: "8480-6",
        "_sort=-value-": lambda: "quantity",
        "_sort=-co": lambda: "de",
    }


def _of_ranges(values: Values) -> dict[str, Callable[[], object]]:
    """Return sorts that begin and end at bounds, counts of ranges, histories, and `_has` into what refers to many."""
    code, group = "Observation?code=8867-4&", f"Group:member:_id={RUN}-0"
    return {
        f"{code}date=lt{{}}-06-01&_sort=-date&_count=20": values.year,
        f"{code}date=gt{{}}-06-01&_sort=date&_count=20": values.year,
        f"{code}date=ge2012&date=lt{{}}&_sort=-date&_count=20": lambda: max(values.year(), 2014),
        "Observation?value-quantity=lt{}&_sort=-value-quantity&_count=20": values.amount,
        "Observation?value-quantity=gt{}&_sort=value-quantity&_count=20": values.amount,
        "Patient?family={}&_sort=family&_count=20": lambda: values.syllables()[0],
        "Patient?family={}&_sort=-family&_count=20": lambda: values.syllables()[0],
        "Observation?_lastUpdated=lt{}&_sort=-_lastUpdated&_count=20": lambda: "2200",
        "Observation?date=ge{}&_summary=count": values.year,
        "Observation?date=ge2012&date=lt{}&_summary=count": lambda: max(values.year(), 2014),
        "Observation?value-quantity=gt{}&_summary=count": values.amount,
        f"{code}date=ge{{}}&_summary=count": values.year,
        "_history?_count={}": lambda: 20,
        "Observation/_history?_count={}": lambda: 20,
        "Observation/_history?_since={}&_count=20": lambda: "2020",
        f"Patient?_has:{group}&_count={{}}": lambda: 20,
        f"Patient?_has:{group}&_summary={{}}": lambda: "count",
        "Patient?_has:Group:member:type=person&_count={}": lambda: 20,
    }


# --- Running -----------------------------------------------------------------------------------------------------


async def _patients(target: Target) -> int:
    """Return how many patients a kept data directory has."""
    connection = Connection(target)
    reply = await connection.send(target.request("GET", "Patient?_summary=count"))
    connection.close()
    return int(json.loads(reply.body)["total"])


async def _store(connection: Connection, target: Target, entries: list[Json]) -> None:
    body = json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries}).encode()
    reply = await connection.send(target.request("POST", "", body))
    if reply.status != 200:
        raise RuntimeError(f"The server refused a transaction: {reply.status} {reply.body[:500]!r}")


async def load(server: Server, first: int, last: int, *, direct: bool) -> float:
    """Store the records of patients from `first` until before `last`; returns resources a second."""
    target = Target.of(server.base_url)
    # The first ones over HTTP, so that collections and indexes are there.
    over_http = min(last, first + BATCH // 10) if direct else last
    numbers = iter(range(first, over_http, BATCH // 10))
    started = time.perf_counter()

    async def loop() -> None:
        connection = Connection(target)
        for start in numbers:
            to = min(start + BATCH // 10, over_http)
            entries = [entry for number in range(start, to) for entry in record(number)]
            await _store(connection, target, entries)
        connection.close()

    await asyncio.gather(*(loop() for _ in range(4)))
    if direct and server.database_url is not None:
        await asyncio.to_thread(fill, server.database_url, record, range(over_http, last), server.base_url)
    return (last - first) * (1 + OBSERVATIONS) / (time.perf_counter() - started)


async def run(
    server: Server, sizes: list[int], seconds: float, console: Console, only: str, *, direct: bool
) -> list[Size]:
    """Load and measure at each size, beginning with what is there."""
    target, measured = Target.of(server.base_url), []
    done = await _patients(target)
    for size in sizes:
        patients = size // (1 + OBSERVATIONS)
        console.print(f"Loading up to {size:,} resources ...")
        at = Size(size, await load(server, done, max(done, patients), direct=direct))
        done = max(done, patients)
        await _store(Connection(target), target, groups(patients))
        for name, urls in searches(patients).items():
            if only not in name:
                continue
            at.first[name] = await _first(target, next(urls))
            at.examined[name] = await _explain(target, next(urls))
            requests = ((target.request("GET", url), 1) for url in urls)
            limits = Limits(seconds, 500)
            at.searches[name] = await measure(
                name, target, requests, frozenset({200}), concurrency=1, limits=limits, pid=server.pid
            )
        at.storage = storage(server.database_url)
        measured.append(at)
    return measured


async def _first(target: Target, url: str) -> float:
    """Return the milliseconds that a request takes."""
    connection = Connection(target)
    started = time.perf_counter()
    reply = await connection.send(target.request("GET", url))
    taken = time.perf_counter() - started
    connection.close()
    if reply.status != 200:
        raise RuntimeError(f"{url} is refused: {reply.status} {reply.body[:500]!r}")
    return taken * 1000


async def _explain(target: Target, url: str) -> tuple[int, int, int]:
    """Return the keys and documents that the database examines for the first page, and what it returns; zeros for a
    history.
    """
    if "_history" in url:
        return 0, 0, 0
    connection = Connection(target)
    reply = await connection.send(target.request("GET", f"{url}&_explain=true"))
    connection.close()
    figures = [tuple(map(int, found)) for found in _EXAMINED.findall(reply.body)]
    keys, documents, returned = (sum(column) for column in zip((0, 0, 0), *figures, strict=True))
    return keys, documents, returned


# --- Telling -----------------------------------------------------------------------------------------------------


def show(sizes: list[Size], console: Console) -> None:
    """Print the figures of all sizes side by side."""
    smallest, largest = sizes[0], sizes[-1]
    table = Table("search, 20 a page, one at a time")
    for size in sizes:
        for column in ("first ms", "p50 ms", "p95 ms", "CPU ms", "keys / docs / rows"):
            table.add_column(f"{column}\n{size.resources:,}", justify="right")
    table.add_column("CPU, last\nto first", justify="right")
    for name in smallest.searches:
        cells = [name.replace("[", r"\[")]
        for size in sizes:
            measured = size.searches[name]
            cells += [f"{size.first[name]:.0f}", f"{measured.p50:.2f}", f"{measured.p95:.2f}", f"{_cpu(measured):.2f}"]
            cells.append("{} / {} / {}".format(*size.examined[name]))
        table.add_row(*cells, f"{_cpu(largest.searches[name]) / max(_cpu(smallest.searches[name]), 0.001):.2f}")
    console.print(table)
    for size in sizes:
        room = size.storage
        line = f"{size.resources:,} resources, loaded at {size.rate:,.0f} a second"
        if room is not None:
            line += f"; documents {room.data:.0f} MB ({room.on_disk:.0f} on disk), indexes {room.indexes:.0f} MB"
        console.print(line)


def _cpu(measured: Measurement) -> float:
    """Return the CPU time of server and database a request, which others on the machine disturb less than the clock."""
    return (measured.server_cpu or 0.0) + (measured.database_cpu or 0.0)


def to_json(sizes: list[Size]) -> list[Json]:
    """Return the figures as plain data."""
    return [
        {
            "resources": size.resources,
            "loaded_a_second": round(size.rate, 1),
            "storage": None if size.storage is None else vars(size.storage),
            "searches": {name: measured.to_json() for name, measured in size.searches.items()},
            "first": size.first,
            "examined": size.examined,
        }
        for size in sizes
    ]


def main() -> None:
    """Measure, print and write the figures."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.search_at_size", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--sizes", default="10000,100000", help="resources, a rising list")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    parser.add_argument("--json", type=Path, default=Path("bench-search.json"), help="where to write the figures")
    parser.add_argument("--data", type=Path, help="a data directory to keep, and to use again; loading takes long")
    parser.add_argument("--direct", action="store_true", help="write the data into the database without HTTP")
    parser.add_argument("--only", default="", help="measure the searches whose name contains this")
    arguments = parser.parse_args()
    console = Console(width=180)
    sizes = [int(size) for size in arguments.sizes.split(",")]
    with (
        tempfile.TemporaryDirectory(prefix="fhir-bench-") as folder,
        own_server(arguments.data or Path(folder) / "data", 1) as server,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        measured = runner.run(run(server, sizes, arguments.seconds, console, arguments.only, direct=arguments.direct))
    show(measured, console)
    arguments.json.write_text(json.dumps(to_json(measured), indent=1))


if __name__ == "__main__":
    main()
