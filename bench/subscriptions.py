"""What finding the events of a write costs: the processor time of a worker with few and with many subscriptions.

    python -m bench.subscriptions --subscriptions 10000 --writes 2000

The subscriptions are those of patients' apps and of labs: each patient has some with the criteria that all have, and
each lab orders codes of its own. A write is matched as the job does it, from its stored index entry to its events.
"""

from __future__ import annotations

import argparse
import random
import resource
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from fhir_server.auth.permission.bearer import BearerToken, LaunchContext
from fhir_server.auth.permission.scopes import parse_scopes
from fhir_server.engine.subscriptions.registry import Registry, Stored, sees
from fhir_server.r4 import values
from fhir_server.search.query.match import index_entry
from fhir_server.store.accounts.bearer_tokens import meaning_document
from fhir_server.store.work.subscriptions import State

_BASE = "http://localhost/fhir"
_PATIENTS = 5000
_CODES = 500


def _subscription(number: int) -> tuple[str, dict[str, Any] | None]:
    """Return the criteria of a subscription, and the token of who has it."""
    now = datetime.now(UTC)
    if number % 2:
        token = BearerToken(f"lab-{number}", parse_scopes("system/*.rs"), now, now)
        return f"Observation?code=http://loinc.org|{number % _CODES}&status=final,amended", meaning_document(token)
    patient = str(number % _PATIENTS)
    token = BearerToken("app", parse_scopes("patient/*.rs"), now, now, context=LaunchContext(patient))
    return "Observation?category=laboratory", meaning_document(token)


def _states(count: int) -> Iterator[State]:
    for number in range(count):
        criteria, token = _subscription(number)
        channel = {"type": "rest-hook", "endpoint": "https://receiver.example/hook"}
        resource = {"resourceType": "Subscription", "status": "active", "criteria": criteria, "channel": channel}
        yield State(
            id=str(number), version=1, status="active", json=values.encode(resource), subscriber={"token": token}
        )


def _entries(count: int) -> list[dict[str, Any]]:
    chance = random.Random(1)
    entries = []
    for number in range(count):
        resource = {
            "resourceType": "Observation",
            "id": str(number),
            "meta": {"lastUpdated": "2026-11-30T12:00:00.000Z"},
            "status": "final",
            "category": [{"coding": [{"code": "laboratory"}]}],
            "code": {"coding": [{"system": "http://loinc.org", "code": str(chance.randrange(_CODES))}]},
            "subject": {"reference": f"Patient/{chance.randrange(_PATIENTS)}"},
            "valueQuantity": {"value": 13.5, "unit": "g/dL", "system": "http://unitsofmeasure.org", "code": "g/dL"},
        }
        entries.append({**index_entry(resource, "UTC", _BASE), "method": "POST", "updated": datetime.now(UTC)})
    return entries


def measured(subscriptions: int, entries: list[dict[str, Any]]) -> tuple[float, float, float]:
    """Return milliseconds of the processor for a write, events of a write, and megabytes of the registry."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    registry = Registry("UTC", _BASE)
    for state in _states(subscriptions):
        registry.add(state)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    events, started = 0, time.process_time()
    for entry in entries:
        found = registry.candidates(Stored("Observation", entry, "", 1))
        events += sum(sees(live.access, "Observation", entry) for live, _ in found)
    return (time.process_time() - started) * 1000 / len(entries), events / len(entries), grown


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.subscriptions")
    parser.add_argument("--subscriptions", type=int, default=10_000)
    parser.add_argument("--writes", type=int, default=2000)
    arguments = parser.parse_args()
    table = Table("subscriptions", "ms of CPU for a write", "events of a write", "MB")
    entries = _entries(arguments.writes)
    for count in (0, 100, arguments.subscriptions):
        spent, events, grown = measured(count, entries)
        table.add_row(str(count), f"{spent:.3f}", f"{events:.2f}", f"{grown:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
