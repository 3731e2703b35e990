"""A folder of CSV files, one for each table, named after it; the first line names the columns. RFC 4180, in UTF-8.

An empty cell is null: CSV has no other way to say it.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from fhir_server.errors import FhirError
from fhir_server.hospital.tables.sources import Line, Writer
from fhir_server.hospital.tables.tables import Table

LONGEST_CELL = 16 * 1024 * 1024


class CsvFolder:
    """The files of a folder, as tables to read or to write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        csv.field_size_limit(LONGEST_CELL)

    def columns(self, table: Table) -> Sequence[str] | None:
        """Return the names in the first line of the table's file, or None where there is no such file."""
        path = self._path(table)
        if not path.is_file():
            return None
        with self._open(path) as file:
            return [name.strip() for name in next(csv.reader(file), [])]

    def count(self, table: Table) -> int:
        """Return how many rows the table has."""
        with self._open(self._path(table)) as file:
            return max(0, sum(1 for row in csv.reader(file) if row) - 1)

    def lines(self, table: Table) -> Iterator[Line]:
        """Yield the rows."""
        with self._open(self._path(table)) as file:
            reader = csv.reader(file)
            columns = [name.strip() for name in next(reader, [])]
            start = reader.line_num + 1
            for row in reader:
                if row:
                    fault = None if len(row) == len(columns) else f"has {len(row)} cells for {len(columns)} columns"
                    yield Line(f"line {start}", dict(zip(columns, (text or None for text in row), strict=False)), fault)
                start = reader.line_num + 1

    @contextmanager
    def table(self, table: Table, columns: Sequence[str]) -> Iterator[Writer]:
        """Give the writer of a table; the file takes the place of an older one when it is whole."""
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.folder / f"{table.name}.csv.part"
        # Nobody else may read what is about patients.
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w", encoding="utf-8", newline="") as file:
            yield _CsvWriter(file, columns)
        part.replace(self._path(table))

    def _path(self, table: Table) -> Path:
        return self.folder / f"{table.name}.csv"

    def _open(self, path: Path) -> IO[str]:
        # What is no UTF-8 becomes a row that is refused, not the end of the import.
        return path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")


class _CsvWriter:
    def __init__(self, file: IO[str], columns: Sequence[str]) -> None:
        self.columns = columns
        self._writer = csv.writer(file)
        self._writer.writerow(columns)

    def write(self, rows: Sequence[Sequence[str | None]]) -> list[FhirError | None]:
        self._writer.writerows(rows)
        return [None] * len(rows)
