"""The queue of a doctor at a clinic on a day: first come, first served, by check-in. https://hl7.org/fhir/R4/encounter.html"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from mappings.shared import reading
from mappings.shared.elements import Resource

_WAITING = frozenset({"arrived", "triaged"})
_LAST = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Queue:
    """Who waits, next one first, and how long a visit takes on this day."""

    waiting: tuple[str, ...]
    """Ids of the Encounters."""
    visit_length: timedelta

    def position(self, encounter_id: str) -> int | None:
        """Return the place in the queue, 1 for the next one; None for who does not wait."""
        return self.waiting.index(encounter_id) + 1 if encounter_id in self.waiting else None

    def wait_minutes(self, position: int | None = None) -> int:
        """Return how long the one at that position waits, or who would come now; in begun minutes."""
        ahead = len(self.waiting) if position is None else position - 1
        return math.ceil(ahead * self.visit_length / timedelta(minutes=1))


def queue(encounters: Iterable[Resource], slot_minutes: int) -> Queue:
    """Return the queue that a doctor's Encounters of a day at a clinic make.

    A visit takes as long as the finished ones of that day took on average, or a slot's length while there are none.
    """
    visits = list(encounters)
    waiting = sorted((item for item in visits if item.get("status") in _WAITING), key=_order)
    lengths = [length for item in visits if item.get("status") == "finished" and (length := _length(item)) is not None]
    mean = sum(lengths, timedelta()) / len(lengths) if lengths else timedelta(minutes=slot_minutes)
    return Queue(tuple(item["id"] for item in waiting), mean)


def _order(encounter: Resource) -> tuple[datetime, str]:
    return reading.moment(encounter.get("period", {}).get("start")) or _LAST, encounter["id"]


def _length(encounter: Resource) -> timedelta | None:
    # With the doctor, where that was written down; else from check-in to check-out.
    seen = reading.first(encounter.get("statusHistory"), lambda item: item.get("status") == "in-progress")
    start = reading.moment(seen.get("period", {}).get("start") or encounter.get("period", {}).get("start"))
    end = reading.moment(encounter.get("period", {}).get("end"))
    return end - start if start and end and end >= start else None
