"""What a load did: counts per resource type on the screen, refusals in a file of JSON lines."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table

from fhir_server.engine.loading.loading import Refusal

_OUTCOMES = ("created", "updated", "unchanged", "deleted", "written", "refused")
_SHOWN = 10
"""Refusals that the screen shows; the file has them all."""


@dataclass(slots=True)
class Summary:
    """The outcome of a load."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By resource type and outcome."""
    refusals: list[Refusal] = field(default_factory=list)
    skipped_files: int = 0
    seconds: float = 0.0

    @property
    def resources(self) -> int:
        """How many resources were sent and taken."""
        return self.counts.total()

    def refused(self) -> Counter[str]:
        """Return how many resources of each type were refused; of what could not be read, under "?"."""
        return Counter(name for refusal in self.refusals for name in refusal.resources or ("?",))


def write_refusals(path: Path, refusals: Iterable[Refusal]) -> None:
    """Write one JSON line for each refusal: file, place, resource types, status and the OperationOutcome's issues."""
    # They tell of patients: their owner alone can read them, also where the file was there before.
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)
        file.writelines(json.dumps(asdict(refusal), ensure_ascii=False, default=str) + "\n" for refusal in refusals)


def show(
    console: Console, summary: Summary, refusals_file: Path, *, what: str = "Resource type", noun: str = "resources"
) -> None:
    """Print the counts, the first refusals, and where the rest of them is."""
    if summary.resources or summary.refusals:
        console.print(_table(summary, what))
    rate = f", {summary.resources / summary.seconds:,.0f} a second" if summary.seconds > 0 and summary.resources else ""
    console.print(f"{summary.resources:,} {noun} in {summary.seconds:.1f} s{rate}.")
    if summary.skipped_files:
        console.print(f"{summary.skipped_files:,} files were loaded before and are skipped.")
    for refusal in summary.refusals[:_SHOWN]:
        console.print(_line(refusal), style="red", markup=False, highlight=False)
    if summary.refusals:
        console.print(f"{len(summary.refusals):,} refused; all of them, with every reason, are in {refusals_file}.")


def _table(summary: Summary, what: str) -> Table:
    refused = summary.refused()
    totals = summary.counts + Counter({(name, "refused"): count for name, count in refused.items()})
    used = [outcome for outcome in _OUTCOMES if any(each == outcome for _, each in totals)]
    table = Table(what, *(Column(outcome, justify="right") for outcome in used))
    for name in sorted({name for name, _ in totals}):
        table.add_row(name, *(f"{totals[name, outcome]:,}" if totals[name, outcome] else "" for outcome in used))
    sums = [sum(count for (_, each), count in totals.items() if each == outcome) for outcome in used]
    table.add_section()
    table.add_row("all", *(f"{total:,}" for total in sums))
    return table


def _line(refusal: Refusal) -> str:
    where = f"{refusal.file} {refusal.place}".rstrip()
    first = refusal.issues[0] if refusal.issues else {}
    path = f" at {first['expression'][0]}" if first.get("expression") else ""
    more = f" (and {len(refusal.issues) - 1} more)" if len(refusal.issues) > 1 else ""
    return f"{where}: {refusal.status}{path}: {first.get('diagnostics', 'no reason given')}{more}"
