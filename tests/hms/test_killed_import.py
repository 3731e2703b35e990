"""An import that is killed, and goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.hms import hospital
from tests.hms.conftest import Desk
from tests.hms.hospital import SMALL, times

ROWS = 1500


def test_an_import_that_was_killed_goes_on(desk: Desk, tmp_path: Path) -> None:
    """After kill -9 in the middle the next import takes the rest: each row is stored once, with its account."""
    users = [
        times(id=str(n), first_name=f"N{n}", email=f"u{n}@example.org", password_hash="$2b$04$x", status="active")
        for n in range(ROWS)
    ]
    hospital.write(tmp_path / "in", {"clinics": SMALL["clinics"], "users": users})
    _kill_at(desk, tmp_path / "in", "Patient")
    before = desk.stored("Patient")
    assert 0 < len(before) < ROWS
    assert {result["fhir_user"] for result in desk.stored("oauth_users").values()} == {f"Patient/{n}" for n in before}

    summary = desk.import_from(tmp_path / "in")
    assert summary.refusals == []
    assert summary.counts["users", "unchanged"] == len(before)
    assert summary.counts["users", "created"] == ROWS - len(before)
    assert {result["version"] for result in desk.stored("Patient").values()} == {1}
    assert len(desk.stored("oauth_users")) == len(desk.stored("login_names")) == ROWS


def test_killed_or_not_the_store_is_the_same(desk: Desk, tmp_path: Path) -> None:
    """After kills in the middle of each table the next import ends where one that nobody killed would have.

    That holds for rows that wait for others, too: follow-ups, and those whose place another row has.
    """
    some = range(400)
    booking, payment = SMALL["appointments"][0], SMALL["payments"][0]
    tables = {
        **{name: SMALL[name] for name in ("clinics", "specialties", "doctors")},
        "users": [times(id=str(n), first_name=f"N{n}", email=f"u{n // 2}@example.org", status="active") for n in some],
        "appointments": [
            booking | {"id": str(n), "user_id": str(n % 2), "appointment_date": f"{2000 + n // 2}-05-06",
                       "appointment_time": "09:30", "follows": str(n + 4) if n % 8 == 0 else None}
            for n in some
        ],
        "payments": [payment | {"id": str(n), "appointment_id": str(n // 2 * 2)} for n in some],
    }  # fmt: skip
    hospital.write(tmp_path / "in", tables)
    for kind in ("Patient", "Appointment", "Invoice"):
        _kill_at(desk, tmp_path / "in", kind)
    summary = desk.import_from(tmp_path / "in")
    refused = {(result.file, result.place) for result in summary.refusals}
    assert refused == {
        *(("appointments", f"line {n + 2}") for n in some if n % 2),
        *(("payments", f"line {n + 2}") for n in some if n % 2),
    }
    desk.export_to(tmp_path / "out")
    exported = hospital.read(tmp_path / "out")
    for name in ("users", "appointments", "payments"):
        assert {row["id"] for row in exported[name]} == {str(n) for n in some if name == "users" or not n % 2}
    owners = {result["_id"]: result["user"] for result in desk.stored("login_names").values()}
    firsts = {result["_id"]: result["fhir_user"] for result in desk.stored("oauth_users").values()}
    assert {name: firsts[user] for name, user in owners.items()} == {
        f"email:u{n}@example.org": f"Patient/{2 * n}" for n in range(len(some) // 2)
    }


def _kill_at(desk: Desk, source: Path, collection: str) -> None:
    """Start an import and kill it once there is something in the collection."""
    command = [sys.executable, "-m", "fhir_server", "import-hms", str(source), "--workers", "1"]
    process = subprocess.Popen(
        [*command, "--database-url", desk.settings.database_url or "", "--report", str(source / "killed")],
        env=os.environ | {"FHIR_SERVER_DATABASE_NAME": desk.settings.database_name},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not desk.stored(collection) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
