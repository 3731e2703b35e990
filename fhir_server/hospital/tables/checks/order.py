"""The order in which the rows of a table are stored, where one has to wait for another. Pure.

Most rows go as they come, to whichever process is free. A row waits for those before it that may have its place (a
second payment of an appointment, a second user of an address), and for the appointment that it follows: so which of two
is refused does not hang on which process was quicker.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import time

from fhir_server.auth.accounts.user import folded
from fhir_server.hospital.tables.cells import Cells
from fhir_server.hospital.tables.sources import Line
from fhir_server.hospital.tables.tables import Table

IN_A_ROW = 300
"""Rows that one batch takes, in their order."""
_NO_DIGITS = re.compile(r"[^0-9]+")


class Ordered:
    """The rows of a table: first those that need not wait, then the others, level by level."""

    def __init__(self, table: Table, lines: Iterable[Line]) -> None:
        self.refused: set[str] = set()
        """Ids of rows that were refused: whoever imports the rows tells it here, as these have no place."""
        # Hashes instead of texts: there may be millions.
        self._ids: set[int] = set()
        self._faulty: set[int] = set()
        self._lines = lines
        self._places = _PLACES.get(table.name, _none)
        self._holders: dict[int, str] = {}
        """The rows that have the places."""
        self._last: dict[int, str] = {}
        """The latest rows that want a place which another wants too."""
        self._waiting: dict[str, Line] = {}
        self._awaited: dict[str, set[str]] = {}

    def has(self, row_id: str) -> bool:
        """Return whether there is a row of that id, a faulty one too; once all have been read."""
        return hash(row_id) in self._ids or hash(row_id) in self._faulty

    def free(self) -> Iterator[Line]:
        """Yield the rows that need not wait; a second one of an id is faulty, wherever it stands."""
        for line in self._lines:
            row_id = line.cells.get("id")
            if row_id is None or line.fault is not None:
                self._faulty.add(hash(row_id))
                yield line
            elif hash(row_id) in self._ids:
                yield replace(line, fault="its id stands twice", column="id")
            else:
                self._ids.add(hash(row_id))
                awaited = set(self._before(row_id, line.cells))
                if awaited:
                    self._waiting[row_id], self._awaited[row_id] = line, awaited
                else:
                    yield line

    def _before(self, row_id: str, cells: Cells) -> Iterator[str]:
        """Yield the ids of the rows that a row waits for."""
        for place in map(hash, self._places(cells)):
            holder = self._holders.setdefault(place, row_id)
            if holder != row_id:
                yield self._last.get(place, holder)
                self._last[place] = row_id
        if follows := _text(cells, "follows"):
            yield follows

    def levels(self) -> Iterator[list[Line]]:
        """Yield the other rows: each list waits until those before it are stored or refused."""
        if self._places is _user:
            # Thousands may share an address that stands for none; a batch gives names in the order of its rows.
            lines = list(self._waiting.values())
            yield from (lines[at : at + IN_A_ROW] for at in range(0, len(lines), IN_A_ROW))
            return
        awaited = {row_id: names & self._waiting.keys() for row_id, names in self._awaited.items()}
        followers: defaultdict[str, list[str]] = defaultdict(list)
        for row_id, names in awaited.items():
            for name in names:
                followers[name].append(row_id)
        level = [row_id for row_id, names in awaited.items() if not names]
        while level:
            yield [replace(self._waiting[row_id], rivals=self._rivals(row_id)) for row_id in level]
            following: dict[str, None] = {}
            for row_id in level:
                self._take_places(row_id)
                del awaited[row_id]
                for other in followers[row_id]:
                    awaited[other].discard(row_id)
                    following[other] = None
            level = [row_id for row_id in following if not awaited[row_id]]
        if awaited:
            fault = "the appointments that it follows lead back to where they began"
            yield [replace(self._waiting[row_id], fault=fault, column="follows") for row_id in awaited]

    def _rivals(self, row_id: str) -> tuple[str, ...]:
        """Return the rows that have the places which the row wants."""
        holders = {self._holders[place] for place in map(hash, self._places(self._waiting[row_id].cells))}
        return tuple(sorted(holders - self.refused - {row_id}))

    def _take_places(self, row_id: str) -> None:
        """Give the row the places whose holders were refused."""
        for place in map(hash, self._places(self._waiting[row_id].cells)):
            if self._holders[place] in self.refused:
                self._holders[place] = row_id


def _none(_: Cells) -> Iterator[str]:
    yield from ()


def _text(cells: Cells, column: str) -> str:
    return (cells.get(column) or "").strip()


def _user(cells: Cells) -> Iterator[str]:
    # Only what one can sign in with is a place.
    if "@" in (email := _text(cells, "email")):
        yield f"email:{folded(email)}"
    if (phone := _text(cells, "phone")).startswith("+"):
        yield f"phone:{_NO_DIGITS.sub('', phone)}"


def _appointment(cells: Cells) -> Iterator[str]:
    doctor, day, at = (_text(cells, column) for column in ("doctor_id", "appointment_date", "appointment_time"))
    if doctor and day and at and _text(cells, "status") != "canceled" and not _text(cells, "deleted_at"):
        yield f"{doctor} {day} {_clock(at)}"


def _clock(text: str) -> str:
    try:
        return time.fromisoformat(text).isoformat()
    except ValueError:
        return text


def _payment(cells: Cells) -> Iterator[str]:
    if _text(cells, "status") == "failed" or _text(cells, "refund_status") or _text(cells, "deleted_at"):
        return
    for column in ("appointment_id", "lab_test_id"):
        if subject := _text(cells, column):
            yield f"{column} {subject}"


def _visit(cells: Cells) -> Iterator[str]:
    if (subject := _text(cells, "appointment_id")) and not _text(cells, "deleted_at"):
        yield subject


_PLACES: dict[str, Callable[[Cells], Iterator[str]]] = {
    "users": _user,
    "appointments": _appointment,
    "payments": _payment,
    "visit_tracking": _visit,
}
"""By table, the places that a row takes, of which there is one for each."""
