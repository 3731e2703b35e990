"""A compiled view, and the rows that it makes. https://sql-on-fhir.org/ig/StructureDefinition-ViewDefinition.html#processing-algorithm-model"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any, TypeAlias

from fhir_server.r4.fhirpath import Expression, FhirPathError, Item
from fhir_server.r4.fhirpath.items import Items, Scope

_MOST_ROWS = 100_000
"""Rows that one resource may become: several lists side by side multiply."""
_MOST_CELLS = 2_000_000
"""Rows times columns: a wide view has fewer rows."""


def most_rows(columns: int) -> int:
    """Return how many rows of so many columns there may be."""
    return min(_MOST_ROWS, _MOST_CELLS // max(columns, 1))


Row: TypeAlias = tuple[Any, ...]
"""The values of a row, as JSON values, in the order of the view's columns."""


class ViewError(ValueError):
    """A ViewDefinition that is wrong, or that a resource does not fit; `expression` names the place in it."""

    def __init__(self, message: str, expression: str) -> None:
        super().__init__(message)
        self.expression = expression


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the rows; `type` is a FHIR type, or None where the definition names none."""

    name: str
    type: str | None
    collection: bool


@dataclass(frozen=True, slots=True)
class Cell:
    """What fills a column; `place` is where the definition says so."""

    column: Column
    path: Expression
    place: str

    def value(self, focus: Items, type_name: str, scope: Scope) -> Any:
        """Return the JSON value for an item, or for nothing; raises ViewError."""
        try:
            items = self.path.on(focus, type_name, scope)
        except FhirPathError as error:
            raise ViewError(f"The column {self.column.name}: {error}", self.place) from error
        if self.column.collection:
            return [item.value for item in items if item.value is not None]
        if len(items) > 1:
            raise ViewError(
                f"The column {self.column.name} has {len(items)} values at once: give it collection=true, or repeat "
                "its rows with forEach.",
                self.place,
            )
        return items[0].value if items else None


@dataclass(frozen=True, slots=True)
class Selection:
    """A `select`: what it goes over, its own cells, the selections within it, and those of its `unionAll`."""

    each: Expression | None
    or_null: bool
    repeat: tuple[Expression, ...]
    cells: tuple[Cell, ...]
    selections: tuple[Selection, ...]
    union: tuple[Selection, ...]
    place: str

    def columns(self) -> list[Column]:
        """Return the columns of its rows."""
        own = [cell.column for cell in self.cells]
        within = [column for selection in self.selections for column in selection.columns()]
        return own + within + (self.union[0].columns() if self.union else [])

    def rows(self, focus: Items, type_name: str, scope: Scope) -> list[Row]:
        """Return the rows for an item, or for nothing; raises ViewError."""
        foci = self._foci(focus, type_name, scope)
        if foci is None:
            return self._rows_of(focus, type_name, scope)
        outer, rows = scope.row, list[Row]()
        for scope.row, item in enumerate(foci):
            rows += self._rows_of([item], item.type, scope)
            self._require_few(len(rows), len(rows[0]) if rows else 0)
        if not foci and self.or_null:
            scope.row = 0
            rows = self._rows_of([], type_name, scope)
        scope.row = outer
        return rows

    def _foci(self, focus: Items, type_name: str, scope: Scope) -> Sequence[Item] | None:
        """Return what the selection goes over; None where that is the item that it is given."""
        try:
            if self.repeat:
                return list(self._repeated(focus, scope))
            return None if self.each is None else self.each.on(focus, type_name, scope)
        except FhirPathError as error:
            raise ViewError(str(error), self.place) from error

    def _repeated(self, focus: Items, scope: Scope) -> Iterator[Item]:
        """Yield what the paths lead to, again and again, each item before what is below it."""
        waiting = list(reversed(focus))
        beginning, passed = len(waiting), 0
        while waiting:
            item = waiting.pop()
            scope.spend(1)
            if beginning:
                beginning -= 1
            else:
                yield item
            below = [child for path in self.repeat for child in path.on([item], item.type, scope)]
            waiting.extend(reversed(below))
            passed += 1
            self._require_few(passed + len(waiting))  # a path that leads back to where it began has no end

    def _rows_of(self, focus: Items, type_name: str, scope: Scope) -> list[Row]:
        parts = [[tuple(cell.value(focus, type_name, scope) for cell in self.cells)]]
        parts += [selection.rows(focus, type_name, scope) for selection in self.selections]
        if self.union:
            parts.append([row for each in self.union for row in each.rows(focus, type_name, scope)])
        self._require_few(prod(len(part) for part in parts), sum(len(part[0]) for part in parts if part))
        if len(parts) == 1:
            return parts[0]
        return [tuple(value for part in combination for value in part) for combination in product(*parts)]

    def _require_few(self, count: int, width: int = 1) -> None:
        most = most_rows(width)
        if count > most:
            raise ViewError(f"A resource makes more than {most} rows.", self.place)


@dataclass(frozen=True, slots=True)
class View:
    """A view over the resources of one type."""

    name: str
    resource: str
    where: tuple[tuple[Expression, str], ...]
    """Each condition, and where it stands."""
    select: Selection

    @property
    def columns(self) -> list[Column]:
        """What the rows hold."""
        return self.select.columns()

    @property
    def most_rows(self) -> int:
        """How many rows an answer may have: fewer where there are many columns."""
        return most_rows(len(self.columns))

    def rows(self, resource: dict[str, Any]) -> list[Row]:
        """Return the rows of a resource: none for one of another type; raises ViewError where it does not fit."""
        if resource.get("resourceType") != self.resource:
            return []
        this = Item(self.resource, resource)
        scope = Scope(this, resource, resource)
        if not all(self._holds(condition, place, this, scope) for condition, place in self.where):
            return []
        return self.select.rows([this], self.resource, scope)

    def _holds(self, condition: Expression, place: str, this: Item, scope: Scope) -> bool:
        try:
            answer = condition.on([this], self.resource, scope)
        except FhirPathError as error:
            raise ViewError(str(error), place) from error
        if not answer:
            return False
        if len(answer) > 1 or not isinstance(answer[0].value, bool):
            raise ViewError("A where condition is true, false or empty; this one gives something else.", place)
        return answer[0].value
