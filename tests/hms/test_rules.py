"""What the source's schema forbids is refused row by row, what is only odd is noted, and neighbours are stored."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher

from fhir_server.auth.accounts.passwords import verify_password
from fhir_server.engine.context import Context, Request
from fhir_server.engine.engine import handle
from fhir_server.hospital.tables.csv_folder import CsvFolder
from fhir_server.hospital.tables.tables import BY_NAME
from fhir_server.r4 import values
from fhir_server.services import base_url, services
from tests.hms import hospital
from tests.hms.conftest import Desk
from tests.hms.hospital import SMALL, times

Tables = dict[str, list[dict[str, str | None]]]

TYPES = {
    "clinics": "Location",
    "specialties": "HealthcareService",
    "doctors": "Practitioner",
    "users": "Patient",
    "user_family": "RelatedPerson",
    "insurance": "Coverage",
    "appointments": "Appointment",
    "payments": "Invoice",
    "medical_documents": "DocumentReference",
    "notifications": "Communication",
    "visit_tracking": "Encounter",
    "treatment_plans": "CarePlan",
    "prescriptions": "MedicationRequest",
    "lab_tests": "ServiceRequest",
}


def own(table: str, **columns: str) -> dict[str, Any]:
    """Return columns that keep the row out of the way of the first one's, and these."""
    apart: dict[str, dict[str, str]] = {
        "appointments": {"appointment_time": "15:00"},
        "payments": {"appointment_id": "1", "status": "failed"},
        "users": {"email": "new@example.org", "phone": "+12025550143"},
    }
    return {"table": table, **apart.get(table, {}), **columns}


REFUSED = [
    (own("clinics", latitude="91"), "latitude"),
    (own("clinics", longitude="-180.0001"), "longitude"),
    (own("clinics", timezone="Mars/Base"), "timezone"),
    (own("specialties", clinic_id="77"), "clinic_id"),
    (own("specialties", fee_amount="-1", fee_currency="EUR"), "fee_amount"),
    (own("doctors", clinic_id="77"), "clinic_id"),
    (own("doctors", specialty_id="77"), "specialty_id"),
    (own("doctors", experience_years="-1"), "experience_years"),
    (own("users", status="sleeping"), "status"),
    (own("users", date_of_birth="1990-02-30"), "date_of_birth"),
    (own("user_family", user_id="77"), "user_id"),
    (own("user_family", relation="cousin"), "relation"),
    (own("insurance", valid_from="2024-02-01", valid_until="2024-01-31"), "valid_until"),
    (own("insurance", user_id="77"), "user_id"),
    (own("appointments", user_id="77"), "user_id"),
    (own("appointments", doctor_id="77"), "doctor_id"),
    (own("appointments", clinic_id="77"), "clinic_id"),
    (own("appointments", specialty_id="77"), "specialty_id"),
    (own("appointments", family_member_id="77"), "family_member_id"),
    (own("appointments", user_id="2", family_member_id="1"), "family_member_id"),
    (own("appointments", user_id="2", follows="1"), "follows"),
    (own("appointments", follows="77"), "follows"),
    (own("appointments", follows="99"), "follows"),
    (own("appointments", appointment_time="09:30", user_id="2"), "appointment_time"),
    (own("treatment_plans", appointment_id="77"), "appointment_id"),
    (own("prescriptions", treatment_plan_id="77"), "treatment_plan_id"),
    (own("lab_tests", treatment_plan_id="77"), "treatment_plan_id"),
    (own("lab_tests", status="lost"), "status"),
    (own("payments", appointment_id="77"), "appointment_id"),
    (own("payments", status="pending"), "appointment_id"),
    (own("payments", amount="-0.01"), "amount"),
    (own("payments", amount="NaN"), "amount"),
    (own("payments", currency="eur"), "currency"),
    (own("payments", payment_method="barter"), "payment_method"),
    (own("medical_documents", user_id="77"), "user_id"),
    (own("medical_documents", user_id="2"), "appointment_id"),
    (own("medical_documents", appointment_id="77"), "appointment_id"),
    *(
        (own("medical_documents", file_url=url), "file_url")
        for url in ("javascript:alert(1)", "JaVaScript:1", "data:text/html,x", "vbscript:x", "file:///etc/passwd",
                    "//evil.example.org/x", "\\\\host\\share", "blob:https://x.example.org/1")
    ),
    (own("notifications", user_id="77"), "user_id"),
    (own("notifications", is_read="perhaps"), "is_read"),
    (own("notifications", user_id="2", related_type="Appointment", related_id="1"), "related_id"),
    (own("visit_tracking", check_out_time="2024-03-31T07:19:59+00:00"), "check_out_time"),
    (own("visit_tracking", current_wait_time="-1"), "current_wait_time"),
    (own("clinics", created_at="yesterday"), "created_at"),
]  # fmt: skip


NOTED = [
    (own("users", timezone="Mars/Base"), "timezone"),
    (own("users", language="?!"), "language"),
    (own("users", profile_picture="javascript:alert(1)"), "profile_picture"),
    (own("users", profile_picture="data:image/svg+xml;base64,PHN2Zz4="), "profile_picture"),
    (own("users", date_of_birth="2999-01-01"), "date_of_birth"),
    (own("users", email="nobody"), "email"),
    (own("users", email="ANA@example.org"), "email"),
    (own("users", phone="+34 600 111 222"), "phone"),
    (own("users", password_hash="hunter2"), "password_hash"),
    (own("users", password_hash="5f4dcc3b5aa765d61d8327deb882cf99"), "password_hash"),
    (own("users", password_hash="$2b$31$" + "a" * 53), "password_hash"),
    (own("users", password_hash="$2b$12$abc"), "password_hash"),
    (own("doctors", photo="vbscript:x"), "photo"),
    (own("doctors", experience_years="200"), "experience_years"),
    (own("user_family", user_id=""), "user_id"),
    (own("user_family", dob="2999-01-01"), "dob"),
    (own("appointments", doctor_id=""), "doctor_id"),
    (own("payments", amount="1.005"), "amount"),
    (own("visit_tracking"), "appointment_id"),
    (own("notifications", message="NULL"), "message"),
    (own("notifications", message="\\N"), "message"),
    (own("clinics", updated_at="2020-01-01T00:00:00Z"), "updated_at"),
]  # fmt: skip


def test_every_rule_refuses_its_row_alone(desk: Desk, tmp_path: Path) -> None:
    """Each row that breaks a rule is refused with the column named, without its value; the sound rows are stored."""
    tables: dict[str, list[dict[str, str | None]]] = {name: list(some) for name, some in SMALL.items()}
    expected: dict[tuple[str, str], str] = {}
    for number, (columns, column) in enumerate(REFUSED, 100):
        _add(tables, columns, number)
        expected[columns["table"], str(number)] = column
    _write(tmp_path, tables)
    summary = desk.import_from(tmp_path / "in", timezone="Europe/Madrid")
    lines = _ids_by_place(tmp_path / "in")
    refused = {
        (result.file, lines[result.file, result.place]): result.issues[0]["expression"] for result in summary.refusals
    }
    assert refused == {key: [f"{key[0]}.{column}"] for key, column in expected.items()}
    report = (tmp_path / "report").read_text()
    assert (tmp_path / "report").stat().st_mode & 0o777 == 0o600
    assert not any(text in report for text in ("javascript", "Mars/Base", "etc/passwd", "sleeping", "cousin"))
    for name, some in SMALL.items():
        assert {row["id"] for row in some} == set(desk.stored(TYPES[name])), name


def test_what_is_odd_is_noted_and_stored(desk: Desk, tmp_path: Path) -> None:
    """Each odd row is stored, and the report names the column; no clear-text or MD5 password is kept anywhere."""
    tables: dict[str, list[dict[str, str | None]]] = {name: list(some) for name, some in SMALL.items()}
    for number, (columns, _) in enumerate(NOTED, 100):
        _add(tables, columns, number)
    _write(tmp_path, tables)
    assert desk.import_from(tmp_path / "in", timezone="Europe/Madrid").refusals == []
    lines = _ids_by_place(tmp_path / "in")
    issues = {
        (result["file"], lines[result["file"], result["place"]], *issue["expression"])
        for result in desk.report
        for issue in result["issues"]
    }
    for number, (columns, column) in enumerate(NOTED, 100):
        table = columns["table"]
        assert (table, str(number), f"{table}.{column}") in issues
        assert str(number) in desk.stored(TYPES[table])
    assert "hunter2" not in str(desk.stored("oauth_users")) + (tmp_path / "report").read_text()
    assert "5f4dcc3b" not in str(desk.stored("oauth_users"))
    assert "javascript" not in str(desk.stored("Patient"))


def _add(tables: Tables, columns: dict[str, Any], number: int) -> None:
    table = columns["table"]
    like = SMALL.get(table, [times(id="1", user_id="1")])[0]
    row = like | {name: text or None for name, text in columns.items() if name != "table"} | {"id": str(number)}
    if table == "users" and row["email"] == "new@example.org":
        row["email"] = f"u{number}@example.org"
    if table == "users" and row["phone"] == "+12025550143":
        row["phone"] = f"+1202555{number:04d}"
    if table == "appointments":
        row["follows"] = str(number) if row.get("follows") == "99" else row.get("follows")
        if row["appointment_time"] == "15:00":
            row["appointment_date"] = f"2025-01-{number - 100 + 1:02d}" if number < 131 else "2026-01-01"
            row["appointment_time"] = f"{number % 24:02d}:00"
    tables.setdefault(table, []).append(row)


def _ids_by_place(folder: Path) -> dict[tuple[str, str], str | None]:
    tables = CsvFolder(folder)
    return {
        (name, line.place): line.cells["id"]
        for name in TYPES
        if tables.columns(BY_NAME[name])
        for line in tables.lines(BY_NAME[name])
    }


def _write(folder: Path, tables: Tables) -> None:
    for name, some in tables.items():
        columns = {column: None for row in some for column in row}
        tables[name] = [columns | row for row in some]
    hospital.write(folder / "in", tables)


def test_a_follow_up_may_stand_before_what_it_follows(desk: Desk, tmp_path: Path) -> None:
    """Chains of follow-ups are stored in whatever order their rows stand; a chain that leads back to itself is not."""
    first = SMALL["appointments"][0]

    def booked(number: int, follows: int | None) -> dict[str, str | None]:
        return first | {
            "id": str(number), "appointment_date": f"2024-05-{number:02d}",
            "follows": None if follows is None else str(follows),
        }  # fmt: skip

    rows = [booked(2, 3), booked(3, 4), booked(4, None), booked(5, 6), booked(6, 7), booked(7, 5), booked(8, 5)]
    hospital.write(tmp_path / "in", {**SMALL, "appointments": rows, "payments": [], "treatment_plans": [],
                                     "prescriptions": [], "lab_tests": [], "medical_documents": [],
                                     "visit_tracking": []})  # fmt: skip
    summary = desk.import_from(tmp_path / "in")
    assert {(result.file, result.place) for result in summary.refusals} == {
        ("appointments", f"line {line}") for line in (5, 6, 7, 8)
    }
    assert {tuple(result.issues[0]["expression"]) for result in summary.refusals} == {("appointments.follows",)}
    assert set(desk.stored("Appointment")) == {"2", "3", "4"}


def test_of_two_rows_with_one_place_the_first_sound_one_has_it(desk: Desk, tmp_path: Path) -> None:
    """A second payment and a second booking are refused, but not where the first row was refused itself."""
    payment, booking = SMALL["payments"][0], SMALL["appointments"][0]
    tables = {
        **SMALL,
        "appointments": [booking | {"id": "2", "user_id": "77"}, booking, booking | {"id": "3"},
                         booking | {"id": "4", "status": "canceled"}],
        "payments": [payment | {"id": "2", "amount": "-1"}, payment, payment | {"id": "3"},
                     payment | {"id": "4", "status": "failed"}],
    }  # fmt: skip
    hospital.write(tmp_path / "in", tables)
    summary = desk.import_from(tmp_path / "in")
    refused = {(result.file, result.place) for result in summary.refusals}
    assert refused == {(name, f"line {line}") for name in ("appointments", "payments") for line in (2, 4)}
    assert set(desk.stored("Appointment")) == set(desk.stored("Invoice")) == {"1", "4"}
    again = desk.import_from(tmp_path / "in")
    assert {(result.file, result.place) for result in again.refusals} == refused
    assert {outcome for _, outcome in again.counts} == {"unchanged"}


def _stored_here(desk: Desk, resource: dict[str, Any]) -> None:
    """Store a resource as who books with the app would: it is no row of an import."""

    async def store() -> None:
        async with services(desk.settings) as shared:
            url = f"{resource['resourceType']}/{resource['id']}"
            await handle(Context(shared, base_url(desk.settings)), Request("PUT", url, resource=resource))

    asyncio.run(store())


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ({}, True),
        ({"status": "fulfilled"}, True),
        ({"status": "cancelled"}, False),
        ({"status": "noshow"}, False),
        ({"start": "one minute later"}, False),
        ({"doctor": "another"}, False),
    ],
)
def test_a_time_that_was_booked_here_is_taken(
    desk: Desk, tmp_path: Path, change: dict[str, str], refused: bool
) -> None:
    """An imported appointment is refused where the doctor has one from the app; what was imported is no hindrance."""
    booking = SMALL["appointments"][0]
    hospital.write(tmp_path / "in", SMALL)
    assert desk.import_from(tmp_path / "in").refusals == []
    made = desk.resource("Appointment", "1")
    if "start" in change:
        made["start"] = made["start"].replace(":00.", ":01.").replace(":00Z", ":01Z").replace(":00+", ":01+")
    if "doctor" in change:
        made = values.decode(values.encode(made).replace(b'"Practitioner/1"', b'"Practitioner/2"'))
        _stored_here(desk, {**desk.resource("Practitioner", "1"), "id": "2"})
    made |= {"id": "app"} | ({"status": change["status"]} if "status" in change else {})
    _stored_here(desk, made)
    again = [booking | {"id": "2"}, booking | {"id": "3", "status": "canceled"}]
    hospital.write(tmp_path / "in", {**SMALL, "appointments": again})
    summary = desk.import_from(tmp_path / "in")
    assert [result.place for result in summary.refusals] == (["line 2"] if refused else [])
    assert ("made here" in str(desk.report)) is refused


def test_two_bookings_may_change_places(desk: Desk, tmp_path: Path) -> None:
    """What counts is the source as it is now: two appointments that swap their times are no double booking."""
    booking = SMALL["appointments"][0]
    early, late = booking, booking | {"id": "2", "appointment_time": "11:00"}
    hospital.write(tmp_path / "in", {**SMALL, "appointments": [early, late]})
    assert desk.import_from(tmp_path / "in").refusals == []
    swapped = [early | {"appointment_time": "11:00"}, late | {"appointment_time": "09:30"}]
    hospital.write(tmp_path / "in", {**SMALL, "appointments": swapped})
    assert desk.import_from(tmp_path / "in").refusals == []


def test_the_same_wall_time_at_two_clinics_may_be_two_times(desk: Desk, tmp_path: Path) -> None:
    """A doctor at two clinics in different zones is booked twice only where the moment is the same."""
    clinic, booking = SMALL["clinics"][0], SMALL["appointments"][0]
    hospital.write(
        tmp_path / "in",
        {
            **SMALL,
            "clinics": [
                clinic | {"timezone": "Europe/Madrid"},
                clinic | {"id": "2", "timezone": "Europe/London"},
                clinic | {"id": "3", "timezone": "Europe/Paris"},
            ],
            "appointments": [booking, booking | {"id": "2", "clinic_id": "2"}, booking | {"id": "3", "clinic_id": "3"}],
        },
    )
    (refusal,) = desk.import_from(tmp_path / "in").refusals
    assert refusal.place == "line 4"
    assert not any("--timezone" in str(result) for result in desk.report)


def test_null_has_the_text_that_the_operator_says(desk: Desk, tmp_path: Path) -> None:
    """With --null its texts are null; without, they are taken as they stand and noted; as an id they are refused."""
    clinic = SMALL["clinics"][0] | {"city": "NULL", "state": "\\N", "phone": None}
    hospital.write(tmp_path / "in", {"clinics": [clinic]})
    assert desk.import_from(tmp_path / "in", nulls=("NULL", "\\N")).refusals == []
    assert "address" not in desk.resource("Location", "1")
    assert [result for result in desk.report if result["place"]] == []
    hospital.write(tmp_path / "in", {"clinics": [clinic]})
    desk.import_from(tmp_path / "in", prefix="b-")
    assert desk.resource("Location", "b-1")["address"]["city"] == "NULL"
    (note,) = [result for result in desk.report if result["place"]]
    assert [issue["expression"] for issue in note["issues"]] == [["clinics.city"], ["clinics.state"]]
    hospital.write(tmp_path / "in", {"clinics": [clinic | {"id": "NULL"}]})
    assert len(desk.import_from(tmp_path / "in", prefix="c-").refusals) == 1


def test_files_of_another_encoding(desk: Desk, tmp_path: Path) -> None:
    """--encoding reads files of Windows and of UTF-16; without it the row says which option to use."""
    hospital.write(tmp_path / "in", {"clinics": SMALL["clinics"]})
    path = tmp_path / "in" / "clinics.csv"
    text = path.read_text("utf-8")
    path.write_bytes(text.encode("cp1252"))
    (refusal,) = desk.import_from(tmp_path / "in").refusals
    assert "--encoding" in refusal.issues[0]["diagnostics"]
    assert desk.import_from(tmp_path / "in", encoding="cp1252").refusals == []
    assert desk.resource("Location", "1")["address"]["city"] == "Málaga"
    path.write_bytes(text.encode("utf-16"))
    assert desk.import_from(tmp_path / "in", encoding="utf-16").counts == {("clinics", "unchanged"): 1}


def test_a_quotation_mark_that_is_not_closed_swallows_nothing_silently(desk: Desk, tmp_path: Path) -> None:
    """What is no CSV is refused with its line."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "clinics.csv").write_text('id,name\n1,One\n2,"Two\n3,Three\n')
    (refusal,) = desk.import_from(tmp_path / "in").refusals
    assert refusal.place == "line 3"
    assert set(desk.stored("Location")) == {"1"}


def test_rows_that_vanished_are_reported(desk: Desk, tmp_path: Path) -> None:
    """A row or table that was imported and is no longer in the source is named, and stays; faulty rows are there."""
    hospital.write(tmp_path / "in", SMALL)
    desk.import_from(tmp_path / "in")
    desk.import_from(tmp_path / "in", prefix="b-")
    assert [result for result in desk.report if result["issues"][0]["code"] == "not-found"] == []
    (tmp_path / "in" / "notifications.csv").unlink()
    hospital.write(tmp_path / "in", {"users": [SMALL["users"][0] | {"status": "odd"}], "lab_tests": []})
    summary = desk.import_from(tmp_path / "in")
    gone = {(result["file"], result["place"]) for result in desk.report if result["issues"][0]["code"] == "not-found"}
    assert gone == {("users", "id 2"), ("lab_tests", "id 1"), ("lab_tests", "id 2"), ("notifications", "")}
    assert [result.file for result in summary.refusals] == ["users"]
    assert {"1", "2", "b-1", "b-2"} == set(desk.stored("Patient"))


def test_passwords_that_hold(desk: Desk, tmp_path: Path) -> None:
    """An argon2 hash of another system opens the account; one that would take gigabytes to check opens nothing."""
    hashed = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("correct horse")
    costly = hashed.replace("m=8,", "m=4194304,")
    users = [SMALL["users"][0] | {"password_hash": hashed}, SMALL["users"][1] | {"password_hash": costly}]
    hospital.write(tmp_path / "in", {"users": users})
    desk.import_from(tmp_path / "in")
    stored = {result["fhir_user"]: result["password"] for result in desk.stored("oauth_users").values()}
    assert asyncio.run(verify_password("correct horse", stored["Patient/1"]))
    assert not asyncio.run(verify_password("correct horse", stored["Patient/2"]))
    (note,) = desk.report
    assert note["issues"][0]["expression"] == ["users.password_hash"]
