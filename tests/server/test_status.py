"""What `fhir-server status` shows of the server's health."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

from rich.console import Console

from fhir_server.cli import status
from fhir_server.settings import Settings
from fhir_server.store.backup import archive
from fhir_server.store.database.mongo import Database


def _shown(settings: Settings) -> str:
    shown = StringIO()
    status.show(settings, Console(file=shown, width=160))
    return shown.getvalue()


async def test_what_is_not_well_says_so(database: Database, mongod_url: str, tmp_path: Path) -> None:
    """A backup that is too old, a mail that waits, a job that failed: each has its line, and the rest is well."""
    waiting = {"_id": "c1", "due": datetime.now(UTC) - timedelta(hours=2), "failures": 1}
    await database.collection("mail_queue").insert_one(waiting)
    await database.collection("server_jobs").insert_one({"_id": "exports", "failure": "Unavailable"})
    with archive.new_backup(tmp_path, datetime.now(UTC) - timedelta(hours=40)) as folder:
        (folder / "manifest.json").touch()
    old = {"version": 1, "method": "PUT", "keys": ["*"]}
    await database.ensure(("Patient",))
    await database.current("Patient").insert_many([{"_id": "a", **old}, {"_id": "b", **old, "method": "DELETE"}])
    settings = Settings(
        database_url=mongod_url, database_name=database.name, data_dir=tmp_path / "data", backup_dir=tmp_path
    )
    (tmp_path / "data").mkdir()
    lines = (await asyncio.to_thread(_shown, settings)).splitlines()

    def line(start: str) -> str:
        return next(each for each in lines if start in each)

    assert "the newest of 1 is 40 h old" in line("Backup")
    assert "look" in line("Backup")
    assert "1 waiting" in line("Queue mail")
    assert "look" in line("Queue mail")
    assert "exports failed" in line("Jobs  ")
    assert "1 resources are indexed as by an earlier release" in line("Search index")
    assert "look" in line("Search index")
    assert "well" in line("Queue exports")
    assert "well" in line("Audit journal")
