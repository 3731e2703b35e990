"""A hospital in PostgreSQL, in and out; a real server, started by the test."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fhir_server.hospital.tables.tables import TABLES
from fhir_server.store.database.data_directory import StartupError
from tests.hms import hospital
from tests.hms.conftest import Desk
from tests.hms.postgres_cluster import SCHEMA, binaries, cluster, created
from tests.needs import need

A1, A2 = "0b5f1c8e-6f0e-4f5e-9a53-1f0c2d3e4f50", "1b5f1c8e-6f0e-4f5e-9a53-1f0c2d3e4f50"
ROWS = f"""
INSERT INTO clinics VALUES (1, E'The "Old"\\n Clinic, S.L.', 'Calle 1', 'Málaga', NULL, 'ES', '29001', 36.7213028,
  -4.421636500000001, '+34952000000', NULL, '2020-02-29 23:59:59.999999+05:45', '2021-01-01 00:00:00.000001', NULL);
INSERT INTO clinics VALUES (2, 'Closed', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2020-01-01Z', NULL,
  '2022-01-01 12:00+01');
INSERT INTO specialties VALUES (7, 1, 'Dermatología', '2020-01-01Z', '2020-01-01', NULL);
INSERT INTO doctors VALUES (70, 'Dr. Ω "Max" O''Neil', 7, 1, NULL, NULL, 0, NULL, '2020-01-01Z', '2020-01-01', NULL);
INSERT INTO users VALUES (1001, 'Ana', 'Pérez \\ "x"', 'ana@example.org', '+34600111222', '$2b$12$abc', NULL,
  'Europe/Madrid', 'es', 'active', '2020-01-01Z', '2020-01-01', NULL);
INSERT INTO users VALUES (1002, 'Gone', NULL, 'gone@example.org', NULL, NULL, NULL, NULL, NULL, 'banned', '2020-01-01Z',
  '2020-01-01', '2023-01-01Z');
INSERT INTO user_family VALUES (5, 1001, 'Eva; DROP TABLE users', 'child', '2016-02-29', '2020-01-01Z', NULL, NULL);
INSERT INTO appointments VALUES ('{A1}', 1001, 70, 1, 7, '2024-10-27', '02:30', 'completed', '2024-01-01Z',
  '2024-01-01', NULL);
INSERT INTO appointments VALUES ('{A2}', 1001, 70, 1, NULL, '2099-12-31', '23:59:59', 'canceled', '2024-01-01Z',
  '2024-01-01', '2024-02-02Z');
INSERT INTO payments VALUES (1, '{A1}', 1234567.80, 'EUR', 'card', 'completed', E'tx\\t1', '2024-01-01Z', NULL, NULL);
INSERT INTO payments VALUES (2, '{A2}', 0.01, 'JPY', NULL, 'pending', NULL, '2024-01-01Z', NULL, NULL);
INSERT INTO treatment_plans VALUES (1, '{A1}', E'tab\\there\\r\\nand 漢字 🙂', '2024-01-01Z', '2024-01-01', NULL);
INSERT INTO prescriptions VALUES (1, 1, 'Ibuprofen', '400mg', '3 veces al día', '10 días', '2024-01-01Z', NULL, NULL);
INSERT INTO lab_tests VALUES (1, 1, 'Glucose', '<5 & "low"', 'completed', '2024-01-01Z', '2024-01-01', NULL);
INSERT INTO lab_tests VALUES (2, 1, NULL, NULL, 'pending', '2024-01-01Z', '2024-01-01', NULL);
INSERT INTO medical_documents VALUES (1, 1001, '{A1}', 'lab_report', 'https://x.example.org/a%20b.pdf?c=d&e',
  '2024-01-01Z', NULL, NULL);
INSERT INTO notifications VALUES (1, 1001, '¡Hola! "NULL"', true, '2024-01-01Z', '2024-01-01', NULL);
INSERT INTO notifications VALUES (2, 1001, 'NULL', false, '2024-01-01Z', '2024-01-01', NULL);
INSERT INTO visit_tracking VALUES (1, '{A1}', '2024-10-27 02:10+02', '2024-10-27 03:00:00.5+01', 12, 'visited',
  '2024-01-01Z', '2024-01-01', NULL);
"""
Rows = dict[str, list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Yield the URL of a PostgreSQL server."""
    need(binaries(), "postgresql")
    with cluster() as url:
        yield url


@pytest.fixture
def source(server: str) -> str:
    """Return the URL of a database with the hospital in it."""
    url = created(server, f"source_{uuid.uuid4().hex[:8]}")
    with psycopg.connect(url) as connection:
        connection.execute(SCHEMA)
        connection.execute(ROWS)
    return url


def rows(url: str) -> Rows:
    """Return all rows of the thirteen tables."""
    with psycopg.connect(url) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return {
            table.name: connection.execute(f'SELECT * FROM "{table.name}" ORDER BY id').fetchall()
            for table in TABLES
            if not table.beyond
        }


def test_every_table_comes_back_equal(desk: Desk, server: str, source: str) -> None:
    """The rows of all thirteen tables are in the second database as in the first, value by value."""
    assert desk.import_from(source, timezone="Europe/Madrid").refusals == []
    target = created(server, f"target_{uuid.uuid4().hex[:8]}")
    with psycopg.connect(target) as connection:
        connection.execute(SCHEMA)
    assert desk.export_to(target).refusals == []
    assert rows(target) == rows(source)
    # To export again replaces the rows by themselves.
    assert desk.export_to(target).refusals == []
    assert rows(target) == rows(source)


def test_importing_again_takes_what_has_changed(desk: Desk, source: str) -> None:
    """The second import changes nothing; a row that was changed in the database since is updated, and it alone."""
    desk.import_from(source)
    assert {outcome for _, outcome in desk.import_from(source).counts} == {"unchanged"}
    with psycopg.connect(source) as connection:
        connection.execute("UPDATE clinics SET city = 'Cádiz' WHERE id = 1")
    summary = desk.import_from(source)
    assert {key for key in summary.counts if key[1] != "unchanged"} == {("clinics", "updated")}
    assert desk.resource("Location", "1")["address"]["city"] == "Cádiz"


def test_tables_are_made_where_there_are_none(desk: Desk, server: str, tmp_path: Path) -> None:
    """An empty database gets the tables, and what is imported from them again is what there was."""
    hospital.write(tmp_path / "in", hospital.SMALL)
    desk.import_from(tmp_path / "in")
    target = created(server, f"made_{uuid.uuid4().hex[:8]}")
    assert desk.export_to(target, all_columns=True).refusals == []
    assert {outcome for _, outcome in desk.import_from(target).counts} == {"unchanged"}
    with psycopg.connect(target) as connection:
        assert connection.execute("SELECT minutes, reason FROM appointments").fetchall() == [(30, None)]


def test_a_row_that_the_database_refuses_is_reported_alone(desk: Desk, server: str, tmp_path: Path) -> None:
    """Rows that break a rule of the target are named with the reason, without their content; the others are there."""
    users = [hospital.SMALL["users"][0], hospital.SMALL["users"][1] | {"id": "not-a-number"}]
    hospital.write(tmp_path / "in", {"users": users})
    desk.import_from(tmp_path / "in")
    target = created(server, f"strict_{uuid.uuid4().hex[:8]}")
    with psycopg.connect(target) as connection:
        connection.execute(SCHEMA)
    (refusal,) = desk.export_to(target).refusals
    assert (refusal.file, refusal.place) == ("users", "id not-a-number")
    assert "bob@example.org" not in str(refusal.issues)
    assert [row[0] for row in rows(target)["users"]] == [1]


def test_times_beyond_the_calendar_are_refused(desk: Desk, source: str) -> None:
    """An infinite time is a value of PostgreSQL that nobody else has: the row is refused, not the import."""
    with psycopg.connect(source) as connection:
        connection.execute("UPDATE notifications SET created_at = 'infinity' WHERE id = 1")
    (refusal,) = desk.import_from(source).refusals
    assert (refusal.file, refusal.place) == ("notifications", "id 1")
    assert refusal.issues[0]["expression"] == ["notifications.created_at"]


def test_an_unreachable_database_is_said_in_one_line(desk: Desk, tmp_path: Path) -> None:
    """No server at the URL is a fault of the operator, without a traceback."""
    with pytest.raises(StartupError, match="PostgreSQL"):
        desk.import_from(f"postgresql://nobody@/x?host={tmp_path}")
