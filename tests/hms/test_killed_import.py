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
    command = [sys.executable, "-m", "fhir_server", "import-hms", str(tmp_path / "in"), "--workers", "1"]
    environment = os.environ | {"FHIR_SERVER_DATABASE_NAME": desk.settings.database_name}
    process = subprocess.Popen(
        [*command, "--database-url", desk.settings.database_url or "", "--report", str(tmp_path / "killed")],
        env=environment,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not desk.stored("Patient") and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = desk.stored("Patient")
    assert 0 < len(before) < ROWS
    assert {found["fhir_user"] for found in desk.stored("oauth_users").values()} == {f"Patient/{n}" for n in before}

    summary = desk.import_from(tmp_path / "in")
    assert summary.refusals == []
    assert summary.counts["users", "unchanged"] == len(before)
    assert summary.counts["users", "created"] == ROWS - len(before)
    assert {found["version"] for found in desk.stored("Patient").values()} == {1}
    assert len(desk.stored("oauth_users")) == len(desk.stored("login_names")) == ROWS
