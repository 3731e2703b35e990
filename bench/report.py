"""The figures of a run as a table and as JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.measurement import Measurement
from bench.processes import Usage
from bench.storage import Storage

# The limit is that of sixteen connections; with fewer, both sides wait for the disk and the ratio says little.
_MARKED_FROM = 16
_HEADINGS = (
    "at once", "per s", "p50 ms", "p95", "p99",
    "CPU ms", "db CPU", "CPU/limit", "of limit", "mark", "entries", "failures",
)  # fmt: skip


@dataclass
class Report:
    """All that a run found out."""

    base_url: str
    measurements: list[Measurement] = field(default_factory=list)
    limits: list[Measurement] = field(default_factory=list)
    start: float | None = None
    loading: float | None = None
    """Resources a second while the data was loaded by one connection."""
    memory: Usage | None = None
    storage: Storage | None = None

    def add(self, measured: Measurement, limit: Measurement | None, mark: float, *, own: bool) -> None:
        """Add a workload's figures and those of the limit program beside it; `own` concurrencies always have a mark."""
        if limit is not None and limit.rate:
            measured.limit, measured.ratio = limit.workload, measured.rate / limit.rate
            if measured.server_cpu and limit.server_cpu:
                measured.cpu_ratio = measured.server_cpu / limit.server_cpu
            self.limits.append(limit)
            if own or measured.concurrency >= _MARKED_FROM:
                measured.mark = mark
        self.measurements.append(measured)

    def to_json(self) -> dict[str, Any]:
        """Return the run as one JSON object."""
        memory = self.memory
        return {
            "base_url": self.base_url,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.system()},
            "start_seconds": self.start,
            "memory_mb": {"server": memory.server_memory, "database": memory.database_memory} if memory else None,
            "loading_per_second": self.loading,
            "storage": asdict(self.storage) if self.storage else None,
            "workloads": [measured.to_json() for measured in self.measurements],
            "limits": [measured.to_json() for measured in self.limits],
        }

    def write(self, path: Path) -> None:
        """Write the JSON to a file."""
        path.write_text(json.dumps(self.to_json(), indent=2) + "\n")

    def print(self, console: Console) -> None:
        """Print the table, and below it what counts for the whole run."""
        table = Table("workload", title=self.base_url)
        for heading in _HEADINGS:
            table.add_column(heading, justify="right", no_wrap=True)
        for measured in self.measurements:
            table.add_row(*_row(measured))
        console.print(table)
        for line in self._lines():
            console.print(line)

    def _lines(self) -> Iterator[str]:
        if self.start is not None:
            yield f"Start to first answer: {self.start:.2f} s"
        if self.loading is not None:
            yield f"Loading by one connection: {self.loading:,.0f} resources/s"
        if self.memory is not None:
            server, database = self.memory.server_memory, self.memory.database_memory
            yield f"Memory: largest server process {server:.0f} MB, database {database:.0f} MB"
        if self.storage is not None:
            size = self.storage
            yield (
                f"Storage: {size.documents:,} documents, data {size.data:,.0f} MB, "
                f"on disk {size.on_disk:,.0f} MB, indexes {size.indexes:,.0f} MB"
            )


def _row(measured: Measurement) -> list[str]:
    ratio = "" if measured.ratio is None else f"{measured.ratio:.2f}"
    if measured.ratio is not None and measured.mark is not None:
        ratio = f"[{'green' if measured.ratio >= measured.mark else 'red'}]{ratio}[/]"
    return [
        measured.workload,
        str(measured.concurrency),
        f"{measured.rate:,.0f}",
        *(f"{value:.1f}" for value in (measured.p50, measured.p95, measured.p99)),
        *("" if value is None else f"{value:.2f}" for value in (measured.server_cpu, measured.database_cpu)),
        "" if measured.cpu_ratio is None else f"{measured.cpu_ratio:.2f}",
        ratio,
        "" if measured.mark is None else f"{measured.mark:.2f}",
        "" if measured.entries is None else str(measured.entries),
        ", ".join(f"{count} {kind}" for kind, count in measured.failures.items()),
    ]
