"""A hospital's tables: how many rows a second `import-hms` takes, takes again, and `export-hms` writes.

`python -m bench.tables` invents a hospital, with references as a real one has them, in CSV files; the database is an
embedded one of its own. The rates are of all rows: reading, checking, storing, and the accounts of users.
"""

from __future__ import annotations

import argparse
import csv
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from rich.console import Console

from bench.processes import usage
from fhir_server.hospital.tables.export_tables import export_tables
from fhir_server.hospital.tables.import_tables import import_tables
from fhir_server.hospital.tables.importing import Options
from fhir_server.load.report import Summary
from fhir_server.settings import Settings
from fhir_server.store.database.mongod import database_url

_HASH = "$2b$12$KIXQJ2Vb8m0c7yq0m1mZ8uY0C1bQdX5p8cZ8b0p6o0oQyqvQ1nC3K"
_DAY = date(2022, 1, 3)
_MADE = datetime(2021, 5, 6, 7, 8, 9, tzinfo=UTC).isoformat()

Cells = dict[str, str]


def hospital(users: int) -> dict[str, list[Cells]]:
    """Return the tables of a hospital with so many users; some ten rows for each."""
    clinics, doctors, specialties = 1 + users // 500, 1 + users // 50, 2 + users // 100
    visits = [(number, number % users) for number in range(2 * users)]
    return {
        "clinics": [
            {"id": f"{n}", "name": f"Clinic {n}", "city": "Málaga", "latitude": "36.7200", "longitude": "-4.42"}
            for n in range(clinics)
        ],
        "specialties": [
            {"id": f"{n}", "clinic_id": f"{n % clinics}", "name": f"Specialty {n}"} for n in range(specialties)
        ],
        "doctors": [
            {"id": f"{n}", "name": f"Dr. {n}", "specialty_id": f"{n % specialties}",
             "clinic_id": f"{n % specialties % clinics}", "experience_years": f"{n % 40}"}
            for n in range(doctors)
        ],
        "users": [
            {"id": f"{n}", "first_name": f"First{n}", "last_name": f"Last{n}", "email": f"user{n}@example.org",
             "phone": f"+3460{n:07d}", "password_hash": _HASH, "timezone": "Europe/Madrid", "language": "es",
             "status": "active"}
            for n in range(users)
        ],
        "user_family": [
            {"id": f"{n}", "user_id": f"{n}", "name": f"Child {n}", "relation": "child", "dob": "2016-02-29"}
            for n in range(0, users, 2)
        ],
        "appointments": [_appointment(n, user, doctors, specialties, clinics) for n, user in visits],
        "payments": [
            {"id": f"{n}", "appointment_id": f"{n}", "amount": "50.10", "currency": "EUR", "payment_method": "card",
             "status": "completed", "transaction_id": f"tx{n}"}
            for n, _ in visits
        ],
        "treatment_plans": [{"id": f"{n}", "appointment_id": f"{n}", "description": "Rest"} for n, _ in visits[::2]],
        "prescriptions": [
            {"id": f"{n}", "treatment_plan_id": f"{n}", "medicine_name": "Ibuprofen", "dosage": "400 mg",
             "frequency": "2x daily", "duration": "7 days"}
            for n, _ in visits[::2]
        ],
        "lab_tests": [
            {"id": f"{n}", "treatment_plan_id": f"{n}", "test_name": "Glucose", "result": "5.1 mmol/L",
             "status": "completed"}
            for n, _ in visits[::4]
        ],
        "medical_documents": [
            {"id": f"{n}", "user_id": f"{user}", "appointment_id": f"{n}", "document_type": "scan",
             "file_url": f"https://files.example.org/{n}.pdf"}
            for n, user in visits[::4]
        ],
        "notifications": [
            {"id": f"{n}", "user_id": f"{user}", "message": "Your appointment is booked.", "is_read": "true"}
            for n, user in visits
        ],
        "visit_tracking": [
            {"id": f"{n}", "appointment_id": f"{n}", "check_in_time": "2024-03-31T07:20:00+00:00",
             "check_out_time": "2024-03-31T08:20:00+00:00", "current_wait_time": "10", "status": "visited"}
            for n, _ in visits[::2]
        ],
    }  # fmt: skip


def _appointment(number: int, user: int, doctors: int, specialties: int, clinics: int) -> Cells:
    doctor, turn = number % doctors, number // doctors
    day, slot = _DAY + timedelta(days=turn // 16), turn % 16
    return {
        "id": f"{number}", "user_id": f"{user}", "doctor_id": f"{doctor}",
        "clinic_id": f"{doctor % specialties % clinics}", "specialty_id": f"{doctor % specialties}",
        "appointment_date": day.isoformat(), "appointment_time": f"{9 + slot // 2:02d}:{slot % 2 * 30:02d}:00",
        "status": "completed",
    }  # fmt: skip


def write(folder: Path, tables: dict[str, list[Cells]]) -> int:
    """Write the tables as CSV files; returns how many rows there are."""
    for name, rows in tables.items():
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, [*rows[0], "created_at", "updated_at", "deleted_at"])
            writer.writeheader()
            writer.writerows(row | {"created_at": _MADE, "updated_at": _MADE, "deleted_at": ""} for row in rows)
    return sum(map(len, tables.values()))


@contextmanager
def _timed(console: Console, what: str, rows: int) -> Iterator[None]:
    started, before = time.perf_counter(), _processor_times()
    yield
    seconds, after = time.perf_counter() - started, _processor_times()
    own, database = (1000 * (late - early) / rows for early, late in zip(before, after, strict=True))
    console.print(
        f"{what}: {rows:,} rows in {seconds:.1f} s, {rows / seconds:,.0f} a second; "
        f"of a processor {own:.2f} ms a row, and {database:.2f} ms of the database's"
    )


def _processor_times() -> tuple[float, float]:
    """Return the processor seconds of this process with those it has ended, and of the database; good when busy too."""
    ended, own = (resource.getrusage(who) for who in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF))
    used = usage(os.getpid())
    return (
        ended.ru_utime + ended.ru_stime + own.ru_utime + own.ru_stime,
        used.database_cpu if used else 0.0,
    )


def _require(summary: Summary, outcome: str, rows: int) -> None:
    done = sum(count for (_, each), count in summary.counts.items() if each == outcome)
    if summary.refusals or done != rows:
        raise SystemExit(f"{done} of {rows} rows {outcome}, {len(summary.refusals)} refused: {summary.refusals[:3]}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.tables", description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=2000, help="of the invented hospital; some ten rows for each")
    parser.add_argument("--workers", type=int, help="processes of the import; one for each core if left out")
    return parser.parse_args()


def main() -> int:
    """Run the bench."""
    arguments, console = _arguments(), Console()
    with tempfile.TemporaryDirectory(prefix="bench-tables-") as name:
        folder = Path(name)
        source, target, report = folder / "in", folder / "out", folder / "report"
        source.mkdir()
        rows = write(source, hospital(arguments.users))
        settings = Settings(data_dir=folder / "data", database_url=None)
        options, workers = Options(timezone="Europe/Madrid"), arguments.workers
        # Starting and ending a database is no part of what is measured.
        with database_url(settings) as url:
            connected = settings.model_copy(update={"database_url": url})
            for what, outcome in (("import", "created"), ("import of the same", "unchanged")):
                with _timed(console, what, rows):
                    summary = import_tables(str(source), connected, options, workers=workers, report=report)
                _require(summary, outcome, rows)
            with _timed(console, "export", rows):
                summary = export_tables(str(target), connected, options, report=report)
            _require(summary, "written", rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
