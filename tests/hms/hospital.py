"""Whole hospitals: rows of every table that refer to each other, and their files."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from fhir_server.hospital.tables.cells import cell
from fhir_server.hospital.tables.tables import BY_NAME, TABLES
from mappings.shared.rows import Row
from tests.unit.mappings import strategies as rows

Hospital = Mapping[str, Sequence[Row]]

_STRATEGIES: dict[str, st.SearchStrategy[Any]] = {
    "clinics": rows.clinic_rows,
    "specialties": rows.specialty_rows,
    "doctors": rows.doctor_rows,
    "users": rows.user_rows,
    "user_family": rows.family_rows,
    "insurance": rows.policy_rows,
    "appointments": rows.appointment_rows,
    "treatment_plans": rows.plan_rows,
    "prescriptions": rows.prescription_rows,
    "lab_tests": rows.lab_rows,
    "payments": rows.payment_rows(),
    "medical_documents": rows.document_rows,
    "notifications": rows.notification_rows,
    "visit_tracking": rows.visit_rows,
}
_REFERENCES = {
    "user_id": "users",
    "clinic_id": "clinics",
    "specialty_id": "specialties",
    "doctor_id": "doctors",
    "treatment_plan_id": "treatment_plans",
}
_NEEDED = {"treatment_plan_id"}
_NEEDING_APPOINTMENT = {"payments", "treatment_plans", "visit_tracking"}
_OF_THE_SAME_USER = {
    "appointments": {
        "family_member_id": "user_family",
        "insurance_coverage_id": "insurance",
        "follows": "appointments",
    },
    "medical_documents": {"appointment_id": "appointments"},
}


@st.composite
def hospitals(draw: st.DrawFn) -> dict[str, list[Row]]:
    """Return one to three rows of every table; what they refer to is there, and of the same user.

    There may be two of one id, of which the first counts, but no two payments of one appointment.
    """
    made: dict[str, list[Row]] = {}
    for table in TABLES:
        made[table.name] = []
        for number in range(draw(st.integers(1, 3))):
            row = draw(_STRATEGIES[table.name])
            form: dict[str, Any] = {"id": draw(st.sampled_from([f"{number}", f"{table.name[0]}-{number}"]))}
            form["created_at"] = row.created_at or draw(rows.moments)
            for column, target in _REFERENCES.items():
                if column in type(row).model_fields:
                    some = st.sampled_from([other.id for other in made[target]])
                    form[column] = draw(some if column in _NEEDED or table.name == "appointments" else rows.maybe(some))
            if table.name in _NEEDING_APPOINTMENT:
                form |= {"appointment_id": draw(st.sampled_from([other.id for other in made["appointments"]]))}
                form |= {"lab_test_id": None} if table.name == "payments" else {}
            for column, target in _OF_THE_SAME_USER.get(table.name, {}).items():
                own = [other.id for other in made[target] if other.user_id == form["user_id"]]
                form[column] = draw(rows.maybe(st.sampled_from(own))) if own else None
            if table.name == "notifications" and row.related is not None:
                form["related"] = row.related.model_copy(update={"type": "Observation"})
            if table.name in ("payments", "visit_tracking") and number:
                continue
            made[table.name].append(row.model_copy(update=form))
    return made


def cells(hospital: Hospital) -> dict[str, list[dict[str, str | None]]]:
    """Return the text of every column of every row."""
    return {
        name: [{column: cell(row, column) for column in BY_NAME[name].every_column} for row in some]
        for name, some in hospital.items()
    }


def write(folder: Path, tables: Mapping[str, Sequence[Mapping[str, str | None]]]) -> None:
    """Write the tables as CSV files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, some in tables.items():
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(some[0]) if some else ["id"])
            writer.writeheader()
            writer.writerows(some)


def read(folder: Path) -> dict[str, list[dict[str, str | None]]]:
    """Return the tables of a folder that have rows, by id."""
    collected: dict[str, list[dict[str, str | None]]] = {}
    for path in sorted(folder.glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            some = [{name: text or None for name, text in row.items()} for row in csv.DictReader(file)]
        if some:
            collected[path.stem] = sorted(some, key=lambda row: row["id"] or "")
    return collected


def times(**columns: str | None) -> dict[str, str | None]:
    """Return the cells of a row with the times that every row has."""
    at = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC).isoformat()
    return {**columns, "created_at": at, "updated_at": at, "deleted_at": None}


HASH = "$2b$04$1ExdzMy4RMvoM5xr8L6wt.DxLeDl8P05WXn3q19zVSlCyfT6om.L."
"""Of the password "correct horse battery", quickly made."""

SMALL: dict[str, list[dict[str, str | None]]] = {
    "clinics": [times(id="1", name='The "First", of\nall', city="Málaga", latitude="36.7200", longitude="-4.42")],
    "specialties": [times(id="1", clinic_id="1", name="Cardiology")],
    "doctors": [times(id="1", name="Dr. Ñ", specialty_id="1", clinic_id="1", experience_years="12")],
    "users": [
        times(id="1", first_name="Ana", last_name="O'Hara; DROP TABLE users", email="ana@example.org",
              phone="+34600111222", password_hash=HASH, status="active"),
        times(id="2", first_name="Bob", last_name=None, email="bob@example.org", phone=None,
              password_hash=None, status="banned"),
    ],
    "user_family": [times(id="1", user_id="1", name="Eva", relation="child", dob="2020-02-29")],
    "appointments": [
        times(id="1", user_id="1", doctor_id="1", clinic_id="1", specialty_id="1", appointment_date="2024-03-31",
              appointment_time="09:30:00", status="completed"),
    ],
    "payments": [
        times(id="1", appointment_id="1", amount="50.10", currency="EUR", payment_method="card", status="completed",
              transaction_id="tx,1"),
    ],
    "treatment_plans": [times(id="1", appointment_id="1", description="Rest\r\nand tea")],
    "prescriptions": [
        times(id="1", treatment_plan_id="1", medicine_name="Tea", dosage="1 cup", frequency="2x daily",
              duration="7 days"),
    ],
    "lab_tests": [
        times(id="1", treatment_plan_id="1", test_name="Blood", result="fine", status="completed"),
        times(id="2", treatment_plan_id="1", test_name="More", result=None, status="pending"),
    ],
    "medical_documents": [
        times(id="1", user_id="1", appointment_id="1", document_type="scan", file_url="https://x.example.org/1.pdf"),
    ],
    "notifications": [times(id="1", user_id="1", message="🙂 hello", is_read="true")],
    "visit_tracking": [
        times(id="1", appointment_id="1", check_in_time="2024-03-31T07:20:00+00:00", check_out_time=None,
              current_wait_time="10", status="in_queue"),
    ],
}  # fmt: skip
"""A hospital whose columns are those of its own schema."""
