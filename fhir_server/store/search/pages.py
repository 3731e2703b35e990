"""Reading one page of a search: on through the stretches of a type and through the types, or merged from all types
where there is a sort.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

from bson.timestamp import Timestamp

from fhir_server.search.planner.inside import Start
from fhir_server.search.planner.query import Plan, TypePlan
from fhir_server.search.planner.scans import Falling, Scan
from fhir_server.store.database.encoding import Document
from fhir_server.store.encryption.database_cipher import DatabaseCipher
from fhir_server.store.search import commands
from fhir_server.store.search.choice import StrategyChooser, Way
from fhir_server.store.search.falling import SplitPoints, piece
from fhir_server.store.search.sealed_sorts import is_by_text, sorted_rows

Cursor: TypeAlias = list[Any]
"""Where a page ended, as plain data to be sealed into a link."""

Snapshot: TypeAlias = list[int] | None
"""The moment in the database's own time that a search reads, None for what is current."""

Ask: TypeAlias = Callable[[Document, Timestamp | None], Awaitable[tuple[list[Document], bool, Timestamp | None]]]
"""Runs a command in a snapshot: what it read, whether the answer was cut for its size, and the snapshot's time."""

Located: TypeAlias = tuple[list[Any], Document]
"""A row's place and its document."""


def beginning(at: Snapshot) -> Cursor:
    """Return the cursor of the first page in a snapshot."""
    return [0, None, 0, None, at]


class Reading:
    """One page being read: on through the stretches of each type, and through the types."""

    def __init__(  # noqa: PLR0917 - what every page needs
        self,
        ask: Ask,
        chooser: StrategyChooser,
        cuts: SplitPoints,
        plan: Plan,
        fields: Document,
        cursor: Cursor | None,
        cipher: DatabaseCipher | None = None,
    ) -> None:
        self._ask = ask
        self._cipher = cipher
        self.chooser = chooser
        self.cuts = cuts
        self.plan = plan
        self.fields = fields
        self.type, self.way, self.part, self.after, self.snapshot = cursor or beginning(None)

    def cursor(self, place: Sequence[Any]) -> Cursor:
        """Return the cursor of the page after a row."""
        return [*place, self.snapshot]

    async def ask(self, command: Document) -> tuple[list[Document], bool]:
        """Return what a command reads in the page's snapshot, and whether the answer was cut for its size."""
        at = None if self.snapshot is None else Timestamp(*self.snapshot)
        documents, cut, time = await self._ask(command, at)
        if self.snapshot is None and time is not None:
            self.snapshot = [time.time, time.inc]
        return documents, cut

    async def read(self, plan: TypePlan, way: Way, part: int, after: Any, limit: int) -> tuple[list[Document], bool]:
        """Return the next rows of one part of a way, and whether the answer was cut for its size."""
        if self._cipher is not None and is_by_text(plan):
            return await sorted_rows(self._cipher, self.ask, plan, way, after, limit, self.fields), False
        return await self.ask(command_of(plan, way, part, after, limit, self.fields))

    async def has_more(self) -> bool:
        """Return whether there is a row after those that were read."""
        if self.type >= len(self.plan.types):
            return False
        self.fields = {"_id": 1, "updated": 1}
        return bool(await self.rows(1))

    async def rows(self, limit: int, room: int | None = None) -> list[Located]:
        """Return at most `limit` rows, each with its place; none is looked for once they pass `room` bytes."""
        rows: list[Located] = []
        while len(rows) < limit and self.type < len(self.plan.types) and not _full(rows, room):
            plan = self.plan.types[self.type]
            self.way = self.way or await self.chooser.choose(plan)
            parts = parts_of(plan, self.way)
            if self.part >= len(parts):
                self._next_type()
                continue
            part = parts[self.part]
            if isinstance(part, Falling):
                rows += await self._falling(plan, part, limit - len(rows), room)
                if len(rows) < limit and not _full(rows, room):
                    self.part, self.after = self.part + 1, None
                continue
            documents, cut = await self.read(plan, self.way, self.part, self.after, limit - len(rows))
            for row in documents:
                self.after = commands.position(part, row)
                rows.append(([self.type, list(self.way), self.part, self.after], row))
            if not cut and len(rows) < limit:
                self.part, self.after = self.part + 1, None
        return rows

    async def _falling(self, plan: TypePlan, scan: Falling, limit: int, room: int | None) -> list[Located]:
        """Return at most `limit` rows of a falling order, piece by piece; fewer only where it has no more, or these
        pass `room`.
        """
        cuts = await self.cuts.of(plan, scan)
        rows: list[Located] = []
        width = 1
        while len(rows) < limit and not _full(rows, room):
            read = piece(plan, scan, cuts, self.after, width, limit - len(rows), self.fields)
            documents, cut = await self.ask(read.command)
            for row in documents:
                self.after = read.after(row)
                rows.append(([self.type, list(self.way), self.part, self.after], row))
            if cut or len(rows) == limit:
                continue
            if read.rest is None:
                break
            self.after = read.rest
            # Where few of what is read are matches, ever larger pieces reach the next ones soon.
            width *= 2 if read.value is None else 1
        return rows

    def _next_type(self) -> None:
        self.type, self.way, self.part, self.after = self.type + 1, None, 0, None


class Merging(Reading):
    """One page of several types, sorted: each type gives its next rows, and the first of all make the page."""

    async def has_more(self) -> bool:
        """Return whether there is a row after those that were read, which were all that were asked for."""
        return False

    async def rows(self, limit: int, room: int | None = None) -> list[Located]:
        """Return at most `limit` rows, each with its place; `room` ends nothing, since no contents are read."""
        located: list[Located] = []
        for number, plan in enumerate(self.plan.types):
            located += await self._of_type(number, plan, limit)
        located.sort(key=lambda each: (each[0][0], each[0][3][-1]))
        for place in reversed(range(len(self.plan.sort))):
            located.sort(key=lambda each: _sortable(each[0][3][place]), reverse=self.plan.sort[place].descending)
            located.sort(key=lambda each: each[0][3][place] is None)
        return located[:limit]

    async def _of_type(self, number: int, plan: TypePlan, limit: int) -> list[Located]:
        way = await self.chooser.choose(plan)
        after = self._after(number)
        rows: list[Located] = []
        cut = True
        while cut and len(rows) < limit:
            documents, cut = await self.read(plan, way, 0, after, limit - len(rows))
            for row in documents:
                after = commands.position(None, row)
                rows.append(([number, list(way), 0, after], row))
        return rows

    def _after(self, number: int) -> Any:
        """Return the position in a type: rows with equal sort values come type by type."""
        if self.after is None or number == self.type:
            return self.after
        *values, _ = self.after
        return [*values, "" if number > self.type else "\U0010ffff"]


def _full(rows: Sequence[Located], room: int | None) -> bool:
    """Return whether the contents of the rows, as far as documents hold them, pass a number of bytes."""
    return room is not None and sum(row.get("size") or 0 for _, row in rows) > room


def _sortable(value: Any) -> Any:
    # All values of a key are of one kind; rows that have none are moved to the end afterwards.
    return (False,) if value is None else (True, value)


def parts_of(plan: TypePlan, way: Way) -> Sequence[Scan | Start | None]:
    """Return what a way reads one after another; one None where it collects all matches first."""
    kind, number = way
    match kind:
        case "read":
            return plan.drives[number].scans
        case "order":
            return plan.orders[number].scans
        case "inside":
            return plan.sources[number].starts
    return (None,)


def command_of(plan: TypePlan, way: Way, part: int, after: Any, limit: int, fields: Document) -> Document:  # noqa: PLR0917
    """Return the command that reads on in one part of a way."""
    kind, number = way
    match kind:
        case "inside":
            return commands.from_inside(plan.sources[number].starts[part], after, limit, fields)
        case "gather":
            return commands.gather(plan, plan.sources[number], after, limit, fields)
        case "collect":
            return commands.collect(plan, plan.drives[number].scans, after, limit, fields)
    scans = plan.orders[number].scans if kind == "order" else plan.drives[number].scans
    return commands.stretch(plan, scans, part, after, limit, fields)
