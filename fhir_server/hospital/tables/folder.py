"""A folder of the tables' files, each table in the format that the name of its file says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from fhir_server.hospital.tables import json_folder
from fhir_server.hospital.tables.csv_folder import CsvFolder
from fhir_server.hospital.tables.json_folder import JsonFolder
from fhir_server.hospital.tables.sources import Line, Source
from fhir_server.hospital.tables.tables import TABLES, Table
from fhir_server.store.database.data_directory import StartupError


class TableFolder:
    """The files of a folder, as tables to read; raises StartupError where two of them are one table."""

    def __init__(self, folder: Path, encoding: str | None = None, nulls: Sequence[str] = ()) -> None:
        self._csv: Source = CsvFolder(folder, encoding, nulls)
        self._json: Source = JsonFolder(folder, encoding, nulls)
        self._sources: dict[str, Source] = {}
        for table in TABLES:
            suffixes = [each for each in (".csv", *json_folder.SUFFIXES) if (folder / f"{table.name}{each}").is_file()]
            if len(suffixes) > 1:
                names = ", ".join(f"{table.name}{suffix}" for suffix in suffixes)
                raise StartupError(f"{names}: only one of them can be the table.")
            self._sources[table.name] = self._csv if suffixes == [".csv"] else self._json

    def columns(self, table: Table) -> Sequence[str] | None:
        """Return the names of the table's columns, or None where there is no such table; raises Unreadable."""
        return self._sources[table.name].columns(table)

    def count(self, table: Table) -> int:
        """Return about how many rows the table has."""
        return self._sources[table.name].count(table)

    def lines(self, table: Table) -> Iterator[Line]:
        """Yield the rows."""
        return self._sources[table.name].lines(table)
