"""Slicing: which slice each value is in, how many each slice has, and in which order they stand.

https://hl7.org/fhir/R4/profiling.html#slicing
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fhir_server.r4.profiles.discriminators import Predicate
from fhir_server.r4.profiles.items import Item
from fhir_server.r4.profiles.run import Run
from fhir_server.r4.validation.faults import Fault

if TYPE_CHECKING:
    from fhir_server.r4.profiles.plans import ElementPlan


@dataclass(slots=True)
class Slice:
    """A slice: which values it has, how many there may be, and what each must be."""

    name: str
    holds: Predicate
    min: int
    max: int | None
    element: ElementPlan
    slicing: Slicing | None


@dataclass(slots=True)
class Slicing:
    """The slices of an element, and what may stand beside them; `unchecked` says why they cannot be told apart."""

    suffix: str
    rules: str = "open"
    ordered: bool = False
    slices: list[Slice] = field(default_factory=list)
    unchecked: str | None = None

    def faults(self, place: str, items: list[Item], runs: list[Run]) -> Iterator[Fault]:
        """Yield what is wrong with the values of the element as members of its slices."""
        if self.unchecked is not None:
            yield Fault(
                place, "not-supported", f"The slices were not checked: {self.unchecked}{self.suffix}", "warning"
            )
            return
        members: list[list[int]] = [[] for _ in self.slices]
        homes: list[int | None] = []
        for index, (item, run) in enumerate(zip(items, runs, strict=True)):
            fitting = [number for number, each in enumerate(self.slices) if each.holds(item, run)]
            if len(fitting) > 1:
                names = ", ".join(self.slices[number].name for number in fitting)
                text = f"This belongs to several slices at once: {names}.{self.suffix}"
                # No error: slices may look alike only because a value set of theirs is not known here.
                yield Fault(item.place, "structure", text, "warning")
            for number in fitting[:1]:
                members[number].append(index)
            homes.append(fitting[0] if fitting else None)
        yield from self._beside(items, homes)
        yield from self._order(items, homes)
        for each, indexes in zip(self.slices, members, strict=True):
            chosen = [items[index] for index in indexes]
            yield from self._slice(each, place, chosen, [runs[index] for index in indexes])

    def _slice(self, each: Slice, place: str, items: list[Item], runs: list[Run]) -> Iterator[Fault]:
        suffix = each.element.suffix
        if len(items) < each.min:
            have = "is none" if not items else f"are {len(items)}"
            text = f"The slice {each.name} needs at least {each.min}, and there {have}.{suffix}"
            yield Fault(place, "required", text)
        if each.max is not None and len(items) > each.max:
            text = f"The slice {each.name} may have at most {each.max}, and there are {len(items)}.{suffix}"
            yield Fault(place, "structure", text)
        for item, run in zip(items, runs, strict=True):
            yield from each.element.faults(item, run)
        if each.slicing is not None:
            yield from each.slicing.faults(place, items, runs)

    def _beside(self, items: list[Item], homes: list[int | None]) -> Iterator[Fault]:
        """Yield a fault for each value beside the slices, where none may be, or only behind them."""
        if self.rules == "open":
            return
        last = max((index for index, home in enumerate(homes) if home is not None), default=-1)
        for index, (item, home) in enumerate(zip(items, homes, strict=True)):
            if home is None and (self.rules == "closed" or index < last):
                where = "here" if self.rules == "closed" else "before the members of the slices"
                names = ", ".join(each.name for each in self.slices)
                text = f"Only what belongs to one of the slices may stand {where}: {names}.{self.suffix}"
                yield Fault(item.place, "structure", text)

    def _order(self, items: list[Item], homes: list[int | None]) -> Iterator[Fault]:
        if not self.ordered:
            return
        highest = -1
        for item, home in zip(items, homes, strict=True):
            if home is None:
                continue
            if home < highest:
                before, after = self.slices[home].name, self.slices[highest].name
                text = f"The members of the slice {before} must stand before those of {after}.{self.suffix}"
                yield Fault(item.place, "structure", text)
            highest = max(highest, home)
