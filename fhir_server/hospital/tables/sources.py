"""Where rows come from and where they go: what folders of files and a PostgreSQL database have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from fhir_server.errors import FhirError
from fhir_server.hospital.tables.cells import Cells
from fhir_server.hospital.tables.tables import Table
from fhir_server.store.database.data_directory import StartupError


@dataclass(frozen=True, slots=True)
class Line:
    """A row as it stands in its source; `fault` says why it cannot be taken, where that is known before it is read."""

    place: str
    cells: Cells
    fault: str | None = None
    column: str = ""
    """The column of the fault, where it is one's."""
    doubtful: tuple[str, ...] = ()
    """Columns whose cell is a text that other programs write for null."""
    rivals: tuple[str, ...] = ()
    """Ids of rows before it that may have its place, such as another payment of the same appointment."""


class Unreadable(StartupError):
    """A table cannot be read as a whole; the text says why."""


class Source(Protocol):
    """Rows to import."""

    def columns(self, table: Table) -> Sequence[str] | None:
        """Return the names of the table's columns, or None where there is no such table; raises Unreadable."""

    def count(self, table: Table) -> int:
        """Return how many rows the table has."""

    def lines(self, table: Table) -> Iterator[Line]:
        """Yield the rows, one after another; they are not in memory at once."""


class Writer(Protocol):
    """A table that is being written."""

    @property
    def columns(self) -> Sequence[str]:
        """The columns that are written."""

    def write(self, rows: Sequence[Sequence[str | None]]) -> list[FhirError | None]:
        """Write rows, each cell as text; return for each why it was refused, or None."""


class Destination(Protocol):
    """Tables to export to."""

    def table(self, table: Table, columns: Sequence[str]) -> AbstractContextManager[Writer]:
        """Give the writer of a table, with these columns where it does not exist yet; it is whole when that ends."""
