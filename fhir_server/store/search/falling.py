"""Reading the key index from its end: a descending sort of values that have no keys in falling order.

The database walks a multikey index backwards only if it sorts all that it reads. So the order is read in pieces, from
the highest value down: the documents of one value, by id as they stand in the index, or all between two values, which
are collected and sorted. Values at which to cut are those of a random sample, which makes the pieces about equal. A
page goes on from the value and id of a row, so the sample decides only the cost. A document counts at its highest key.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from fhir_server.search.planner.query import TypePlan
from fhir_server.search.planner.scans import Equal, Falling, KeyRange, family
from fhir_server.store.database.encoding import Document
from fhir_server.store.search import commands

Sample: TypeAlias = Callable[[Document], Awaitable[list[Document]]]
After: TypeAlias = "tuple[str, str | None] | None"
"""The last value and id, "" where the value is next from its first id, None where what is below it is next."""

SAMPLED = 1000
_SECONDS = 600.0
_REMEMBERED = 512


@dataclass(slots=True)
class SplitPoints:
    """The values at which to cut the order of each parameter, remembered for a while; `sample` runs a command."""

    sample: Sample
    _remembered: OrderedDict[tuple[str, str], tuple[float, list[str]]] = field(default_factory=OrderedDict)

    async def of(self, plan: TypePlan, scan: Falling) -> list[str]:
        """Return the keys at which to cut, in rising order."""
        key = (plan.collection, family(scan.low))
        remembered = self._remembered.get(key)
        if remembered is None or time.monotonic() - remembered[0] > _SECONDS:
            stages: list[Document] = [
                {"$sample": {"size": SAMPLED}},
                {"$group": {"_id": plan.sort[0].expression}},
                {"$match": {"_id": {"$type": "string"}}},
            ]
            values = await self.sample(commands.aggregate(plan.collection, stages, SAMPLED))
            remembered = self._remembered[key] = (time.monotonic(), sorted(value["_id"] for value in values))
            if len(self._remembered) > _REMEMBERED:
                self._remembered.popitem(last=False)
        return remembered[1]


@dataclass(frozen=True, slots=True)
class Piece:
    """A command that reads one piece of the order; `value` is that of all its rows, None where they differ.

    `rest` is what comes after the piece, None after the lowest.
    """

    command: Document
    value: str | None
    rest: After

    def after(self, row: Document) -> tuple[str, str]:
        """Return where a row of the piece stands."""
        return (row[commands.AT][0] if self.value is None else self.value, row["_id"])


def piece(  # noqa: PLR0917 - a read and where it goes on
    plan: TypePlan, scan: Falling, cuts: Sequence[str], after: After, width: int, limit: int, fields: Document
) -> Piece:
    """Return the next piece: the documents of a value, or those down to the `width`-th cut below it."""
    value, resource_id = after if after is not None else (scan.high, None)
    if resource_id is not None:
        one = _unless_above(plan, {"$gt": value, "$lt": scan.high})
        command = commands.stretch(one, (Equal((value,)),), 0, resource_id or None, limit, fields)
        return Piece(command, value, (value, None))
    place = bisect_left(cuts, value) - width
    # No key holds the lowest character, so what follows a cut with it is the lowest text above that.
    walk = KeyRange(f"{cuts[place]}\x00" if place >= 0 else scan.low, value)
    between = _unless_above(plan, {"$gte": value, "$lt": scan.high})
    command = commands.collect(between, (walk,), None, limit, fields)
    return Piece(command, None, (cuts[place], "") if place >= 0 else None)


def _unless_above(plan: TypePlan, higher: dict[str, Any]) -> TypePlan:
    return replace(plan, filter={"$and": [plan.filter, {"$nor": [{"keys": {"$elemMatch": higher}}]}]})
