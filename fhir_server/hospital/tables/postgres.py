"""The tables in a PostgreSQL database: read through a server-side cursor, written in batches.

Every cell travels as text in both directions, so the database's own types decide and nothing is lost to Python's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from fhir_server.errors import FhirError, Unprocessable
from fhir_server.hospital.tables.sources import Line, Writer
from fhir_server.hospital.tables.tables import CLOCK_TIMES, COUNTS, DAYS, FLAGS, MOMENTS, NUMBERS, Table
from fhir_server.store.database.data_directory import StartupError

_ROWS_AT_ONCE = 1000
_TYPES = {
    **dict.fromkeys(MOMENTS, "timestamptz"),
    **dict.fromkeys(DAYS, "date"),
    **dict.fromkeys(CLOCK_TIMES, "time"),
    **dict.fromkeys(NUMBERS, "numeric"),
    **dict.fromkeys(COUNTS, "integer"),
    **dict.fromkeys(FLAGS, "boolean"),
}

Connection = psycopg.Connection[tuple[Any, ...]]


def is_postgres(text: str) -> bool:
    """Return whether the text is the URL of a PostgreSQL database."""
    return text.startswith(("postgresql://", "postgres://"))


@contextmanager
def connected(url: str) -> Iterator[Postgres]:
    """Give the tables of the database at the URL; raises StartupError where it cannot be reached or breaks off."""
    try:
        # Times without a zone are meant in UTC, both ways.
        with psycopg.connect(url, options="-c TimeZone=UTC -c DateStyle=ISO -c extra_float_digits=1") as connection:
            # All tables are read as they are at one moment, also where somebody writes to them.
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            yield Postgres(connection)
    except psycopg.Error as error:
        raise StartupError(f"PostgreSQL: {_reason(error)}") from error


class Postgres:
    """The tables of a connected database, to read or to write."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def columns(self, table: Table) -> Sequence[str] | None:
        """Return the names of the table's columns, or None where there is no such table."""
        query = "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped"
        names = self._connection.execute(f"{query} ORDER BY attnum", [f'"{table.name}"']).fetchall()
        return [name for (name,) in names] or None

    def count(self, table: Table) -> int:
        """Return how many rows the table has."""
        query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table.name))
        row = self._connection.execute(query).fetchone()
        return int(row[0]) if row else 0

    def lines(self, table: Table) -> Iterator[Line]:
        """Yield the rows in the order of their ids."""
        columns = self.columns(table) or []
        cells = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(name)) for name in columns)
        query = sql.SQL("SELECT {} FROM {} ORDER BY id").format(cells, sql.Identifier(table.name))
        with self._connection.cursor(name=f"import_{table.name}") as cursor:
            cursor.itersize = _ROWS_AT_ONCE
            for row in cursor.execute(query):
                by_column = dict(zip(columns, row, strict=True))
                yield Line(f"id {by_column.get('id')}", by_column)

    @contextmanager
    def table(self, table: Table, columns: Sequence[str]) -> Iterator[Writer]:
        """Give the writer of a table, made where there is none; one that exists is given the columns it has."""
        existing = self.columns(table)
        if existing is None:
            existing = columns
            self._connection.execute(_made(table, columns))
        yield _TableWriter(self._connection, table, [name for name in table.every_column if name in existing])
        self._connection.commit()


class _TableWriter:
    def __init__(self, connection: Connection, table: Table, columns: Sequence[str]) -> None:
        self.columns = columns
        self._connection = connection
        self._statement = _written(table, columns)

    def write(self, rows: Sequence[Sequence[str | None]]) -> list[FhirError | None]:
        try:
            with self._connection.transaction(), self._connection.cursor() as cursor:
                cursor.executemany(self._statement, rows)
        except (psycopg.DataError, psycopg.IntegrityError):
            return [self._one(row) for row in rows]
        return [None] * len(rows)

    def _one(self, row: Sequence[str | None]) -> FhirError | None:
        try:
            with self._connection.transaction():
                self._connection.execute(self._statement, row)
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            return Unprocessable(_reason(error), code="value")
        return None


def _written(table: Table, columns: Sequence[str]) -> sql.Composed:
    names = [sql.Identifier(name) for name in columns]
    others = [name for name, text in zip(names, columns, strict=True) if text != "id"]
    changes = [sql.SQL("{0} = EXCLUDED.{0}").format(name) for name in others]
    return sql.SQL("INSERT INTO {} ({}) VALUES ({}) ON CONFLICT (id) DO UPDATE SET {}").format(
        sql.Identifier(table.name),
        sql.SQL(", ").join(names),
        sql.SQL(", ").join([sql.Placeholder()] * len(names)),
        sql.SQL(", ").join(changes),
    )


def _made(table: Table, columns: Sequence[str]) -> sql.Composed:
    parts = [
        sql.SQL("{} {}").format(
            sql.Identifier(name), sql.SQL("text PRIMARY KEY" if name == "id" else _TYPES.get(name, "text"))
        )
        for name in columns
    ]
    return sql.SQL("CREATE TABLE {} ({})").format(sql.Identifier(table.name), sql.SQL(", ").join(parts))


def _reason(error: psycopg.Error) -> str:
    # The detail of a message shows the row, which is a patient's.
    return error.diag.message_primary or str(error).strip() or type(error).__name__
