"""Choosing how to run a search: by how many documents each way would read, counted up to a limit and remembered for a
while.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from fhir_server.search.planner.inside import Source
from fhir_server.search.planner.query import TypePlan
from fhir_server.search.planner.scans import ALL, EVERYTHING_RANK, NARROW_RANK, SELECTIVE_RANK, Scan

Way: TypeAlias = tuple[Literal["read", "order", "collect", "inside", "gather"], int]
"""How a type's matches are found: by reading the scans of a drive as they come; in the order of the sort; by
collecting what a drive reads and
sorting it; or from the inside of a chain. With the number of the drive or source."""

Count: TypeAlias = Callable[[str, Sequence[Scan], int], Awaitable[int]]

FEW = 1_000
INNER_LIMIT = 20_000
IDLE = 5_000
COLLECTED = 20_000
"""What is collected at most where an order reads as much in vain."""
_SECONDS = 60.0
_REMEMBERED = 4096


@dataclass(slots=True)
class StrategyChooser:
    """Chooses ways; `count` counts what scans read of a type, up to a limit."""

    count: Count
    _remembered: OrderedDict[tuple[str, tuple[Scan, ...], int], tuple[float, int]]

    def __init__(self, count: Count) -> None:
        self.count = count
        self._remembered = OrderedDict()

    async def choose(self, plan: TypePlan) -> Way:
        """Return the way to run a plan for one type."""
        inside = await self._inside(plan)
        if inside is not None:
            return ("gather" if plan.sort else "inside"), inside
        drive = await self._drive(plan)
        if not plan.sort:
            return "read", drive
        if not plan.orders or plan.drives[drive].rank <= NARROW_RANK:
            return "collect", drive
        if plan.drives[drive].rank < EVERYTHING_RANK and await self._reads(plan, drive) < FEW:
            return "collect", drive
        return await self._order(plan, drive)

    async def _order(self, plan: TypePlan, drive: int) -> Way:
        """Return the order that reads the least before its first match, or to collect where that is less."""
        idle: list[int] = []
        for order in plan.orders:
            idle.append(await self._counted(plan.collection, order.idle, IDLE) if order.idle else 0)
            if idle[-1] < FEW:
                return "order", len(idle) - 1
        least = min(idle)
        place = idle.index(least)
        if plan.drives[drive].rank < EVERYTHING_RANK:
            collected = await self._counted(plan.collection, plan.drives[drive].scans, COLLECTED)
            if least == IDLE <= collected < COLLECTED:
                # Both are many: an order may read a hundred times as much in vain.
                least = await self._counted(plan.collection, plan.orders[place].idle, collected + 1)
            if collected < least:
                return "collect", drive
        return "order", place

    async def _drive(self, plan: TypePlan) -> int:
        """Return the number of the narrowest drive: the likely one where that is plain, else by counting."""
        rival = [number for number, drive in enumerate(plan.drives) if drive.rank < EVERYTHING_RANK]
        if len(rival) < 2 or plan.drives[0].rank <= SELECTIVE_RANK:
            return 0
        counts = {number: await self._reads(plan, number) for number in rival[:4]}
        return min(counts, key=lambda number: (counts[number], number))

    async def _reads(self, plan: TypePlan, drive: int) -> int:
        return await self._counted(plan.collection, plan.drives[drive].scans, FEW)

    async def _inside(self, plan: TypePlan) -> int | None:
        """Return the number of the source inside a chain to start from; None where the outside has less to read."""
        if not plan.sources or plan.drives[0].rank <= SELECTIVE_RANK:
            return None
        outside = await self._counted(plan.collection, (ALL,), INNER_LIMIT)
        for number, drive in enumerate(plan.drives):
            if drive.rank < EVERYTHING_RANK:
                outside = min(outside, await self._reads(plan, number))
        counts = [await self._starts(each) for each in plan.sources]
        least = min(counts)
        # As many inside as outside: then nearly everything outside is a match, and found without looking for it.
        return counts.index(least) if least < outside else None

    async def _starts(self, source: Source) -> int:
        return sum([await self._counted(each.type, (each.scan,), INNER_LIMIT) for each in source.starts])

    async def _counted(self, resource_type: str, scans: tuple[Scan, ...], limit: int) -> int:
        key = (resource_type, scans, limit)
        remembered = self._remembered.get(key)
        if remembered is not None and time.monotonic() - remembered[0] < _SECONDS:
            return remembered[1]
        number = await self.count(resource_type, scans, limit)
        self._remembered[key] = (time.monotonic(), number)
        if len(self._remembered) > _REMEMBERED:
            self._remembered.popitem(last=False)
        return number
