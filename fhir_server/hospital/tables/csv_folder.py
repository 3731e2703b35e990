"""A folder of CSV files, one for each table, named after it; the first line names the columns. RFC 4180, in UTF-8.

An empty cell is null: CSV has no other way to say it. Files of other programs may have a text for null, and another
encoding; both are to be named, and are not guessed.
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
from fhir_server.store.database.data_directory import StartupError

LONGEST_CELL = 16 * 1024 * 1024


DOUBTFUL = frozenset({"NULL", "\\N"})
"""What MySQL, PostgreSQL and others write for null."""


class CsvFolder:
    """The files of a folder, as tables to read or to write; `nulls` are texts that mean null."""

    def __init__(self, folder: Path, encoding: str | None = None, nulls: Sequence[str] = ()) -> None:
        self.folder = folder
        self._encoding = "utf-8-sig" if encoding is None else encoding
        self._nulls = frozenset(nulls)
        csv.field_size_limit(LONGEST_CELL)

    def columns(self, table: Table) -> Sequence[str] | None:
        """Return the names in the first line of the table's file, or None where there is no such file."""
        path = self._path(table)
        if not path.is_file():
            return None
        with self._reading(table) as file:
            return _names(csv.reader(file))

    def count(self, table: Table) -> int:
        """Return about how many rows the table has."""
        with self._reading(table) as file:
            return max(0, sum(1 for _ in file) - 1)

    def lines(self, table: Table) -> Iterator[Line]:
        """Yield the rows."""
        with self._reading(table) as file:
            # A quotation mark that is never closed would swallow the rows after it without a word, were it not strict.
            reader = csv.reader(file, strict=True)
            columns = _names(reader)
            while True:
                start = reader.line_num + 1
                try:
                    row = next(reader, None)
                except csv.Error as error:
                    yield Line(f"line {start}", {}, f"is no CSV: {error}")
                    continue
                if row is None:
                    return
                if row:
                    yield self._line(f"line {start}", columns, row)

    def _line(self, place: str, columns: Sequence[str], row: Sequence[str]) -> Line:
        fault = None if len(row) == len(columns) else f"has {len(row)} cells for {len(columns)} columns"
        cells = dict(zip(columns, (None if text in self._nulls else text or None for text in row), strict=False))
        doubtful = tuple(name for name, text in cells.items() if text in DOUBTFUL)
        return Line(place, cells, fault, doubtful=doubtful)

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

    @contextmanager
    def _reading(self, table: Table) -> Iterator[IO[str]]:
        # What cannot be decoded becomes a row that is refused, not the end of the import, where that is possible.
        with self._path(table).open(encoding=self._encoding, errors="surrogateescape", newline="") as file:
            try:
                yield file
            except UnicodeError as error:
                raise StartupError(f"{table.name}.csv is not in the encoding {self._encoding}.") from error


def _names(reader: Iterator[list[str]]) -> list[str]:
    return [name.strip().removeprefix("\ufeff") for name in next(reader, [])]


class _CsvWriter:
    def __init__(self, file: IO[str], columns: Sequence[str]) -> None:
        self.columns = columns
        self._writer = csv.writer(file)
        self._writer.writerow(columns)

    def write(self, rows: Sequence[Sequence[str | None]]) -> list[FhirError | None]:
        self._writer.writerows(rows)
        return [None] * len(rows)
