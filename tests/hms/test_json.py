"""A hospital in JSON files: the same rules as for CSV, table by table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.hms import hospital
from tests.hms.conftest import Desk
from tests.hms.hospital import SMALL, times
from tests.hms.test_csv import sorted_rows

_WRITTEN = {"latitude", "longitude", "amount", "experience_years", "current_wait_time"}


def _written(row: dict[str, str | None]) -> str:
    """Return a row as JSON, with numbers and truth values as such; decimals keep their digits."""
    members = (
        f"{json.dumps(name)}: {text if name in _WRITTEN or name == 'is_read' else json.dumps(text)}"
        for name, text in row.items()
        if text is not None or name == "deleted_at"
    )
    return "{" + ", ".join(members).replace(": None", ": null") + "}"


def _write(folder: Path, tables: dict[str, list[dict[str, str | None]]]) -> None:
    """Write tables as arrays, as lines and as CSV files, in turn."""
    folder.mkdir()
    for number, (name, rows) in enumerate(tables.items()):
        texts = [_written(row) for row in rows]
        if number % 3 == 0:
            (folder / f"{name}.json").write_text(f"[{', '.join(texts)}]")
        elif number % 3 == 1:
            (folder / f"{name}.ndjson").write_text("\n".join(texts))
        else:
            hospital.write(folder, {name: rows})


def test_the_tables_come_back_column_by_column(desk: Desk, tmp_path: Path) -> None:
    """What is exported after an import of JSON files is what they said, and an import of CSV finds nothing new."""
    _write(tmp_path / "in", SMALL)
    assert desk.import_from(tmp_path / "in", timezone="Europe/Madrid").refusals == []
    assert desk.export_to(tmp_path / "out").refusals == []
    assert hospital.read(tmp_path / "out") == sorted_rows(SMALL)
    hospital.write(tmp_path / "csv", SMALL)
    again = desk.import_from(tmp_path / "csv", timezone="Europe/Madrid")
    assert {outcome for _, outcome in again.counts} == {"unchanged"}


def test_rows_are_refused_by_their_place(desk: Desk, tmp_path: Path) -> None:
    """A row that the schema forbids, or that is no object, is refused by its record; a broken array whole; files that
    documents point to are brought in.
    """
    (tmp_path / "in" / "files").mkdir(parents=True)
    (tmp_path / "in" / "files" / "1.pdf").write_bytes(b"%PDF-1.7")
    tables: dict[str, Any] = {
        "clinics": [times(id="1", name="First"), times(id="2", name="Second", latitude="91"), 7],
        "users": [times(id="1", first_name="Ana", email="ana@example.org")],
        "medical_documents": [times(id="1", user_id="1", document_type="scan", file_url="files/1.pdf")],
    }
    for name, rows in tables.items():
        (tmp_path / "in" / f"{name}.json").write_text(json.dumps(rows))
    (tmp_path / "in" / "notifications.json").write_text('[{"id": "1", "user_id": "1"}, {"id"')
    summary = desk.import_from(tmp_path / "in", timezone="UTC", files=tmp_path / "in")
    said = {(each.file, each.place): str(each.issues) for each in summary.refusals}
    assert set(said) == {("clinics", "record 2"), ("clinics", "record 3"), ("notifications", "")}
    assert "latitude" in said["clinics", "record 2"]
    assert "record 2" in said["notifications", ""]
    assert set(desk.stored("Location")) == {"1"}
    assert desk.stored("Communication") == {}
    assert set(desk.stored("Binary")) != set()
