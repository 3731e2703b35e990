"""Files that documents point to, brought in with their rows."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from tests.hms import hospital
from tests.hms.conftest import Desk
from tests.hms.hospital import SMALL

PDF, PNG = b"%PDF-1.4 one", b"\x89PNG\r\n\x1a\n two"


def documents(*urls: str) -> list[dict[str, str | None]]:
    return [SMALL["medical_documents"][0] | {"id": str(at), "file_url": url} for at, url in enumerate(urls, 1)]


def attachment(desk: Desk, document: str) -> dict[str, Any]:
    result: dict[str, Any] = desk.resource("DocumentReference", document)["content"][0]["attachment"]
    return result


def is_missing(desk: Desk, document: str) -> bool:
    return any(item["url"].endswith("/file-status") for item in attachment(desk, document).get("extension", ()))


def test_files_come_with_their_documents(desk: Desk, tmp_path: Path) -> None:
    """A file becomes a Binary of the patient, in the type that it is of; the row comes back with its own URL."""
    files = tmp_path / "files"
    (files / "up").mkdir(parents=True)
    (files / "up" / "1.pdf").write_bytes(PDF)
    (files / "2.pdf").write_bytes(PNG)
    (tmp_path / "secret.pdf").write_bytes(PDF)
    (files / "link.pdf").symlink_to(tmp_path / "secret.pdf")
    rows = documents(
        "https://old.example.org/up/1.pdf", "2.pdf", "../secret.pdf", "link.pdf", "https://x.example.org/9"
    )
    hospital.write(tmp_path / "in", {**SMALL, "medical_documents": rows})
    assert desk.import_from(tmp_path / "in", files=files).refusals == []
    binary = desk.resource("Binary", "1")
    assert (base64.b64decode(binary["data"]), binary["contentType"]) == (PDF, "application/pdf")
    assert binary["securityContext"] == {"reference": "Patient/1"}
    assert attachment(desk, "1")["url"] == "Binary/1"
    assert attachment(desk, "2")["contentType"] == "image/png"
    assert set(desk.stored("Binary")) == {"1", "2"}
    assert [is_missing(desk, name) for name in "12345"] == [False, False, True, True, False]
    issues = {result["place"]: result["issues"][0] for result in desk.report if result["file"] == "medical_documents"}
    assert sorted(issues) == ["line 4", "line 5", "line 6"]
    assert all(issue["expression"] == ["medical_documents.file_url"] for issue in issues.values())
    desk.export_to(tmp_path / "out")
    assert [row["file_url"] for row in hospital.read(tmp_path / "out")["medical_documents"]] == [
        row["file_url"] for row in rows
    ]


def test_a_file_that_changes_is_brought_in_again_and_one_that_goes_stays(desk: Desk, tmp_path: Path) -> None:
    """Only a changed file makes another version; without --files, and when the file is gone, what is here stays."""
    files = tmp_path / "files"
    files.mkdir()
    (files / "1.pdf").write_bytes(PDF)
    hospital.write(tmp_path / "in", {**SMALL, "medical_documents": documents("1.pdf")})
    desk.import_from(tmp_path / "in")
    assert is_missing(desk, "1")
    assert desk.import_from(tmp_path / "in", files=files).counts["medical_documents", "updated"] == 1
    assert not is_missing(desk, "1")
    assert desk.import_from(tmp_path / "in", files=files).counts["medical_documents", "unchanged"] == 1
    (files / "1.pdf").write_bytes(PDF + b" changed")
    assert desk.import_from(tmp_path / "in", files=files).counts["medical_documents", "updated"] == 1
    assert base64.b64decode(desk.resource("Binary", "1")["data"]) == PDF + b" changed"
    (files / "1.pdf").unlink()
    titled = [documents("1.pdf")[0] | {"document_type": "lab_report"}]
    hospital.write(tmp_path / "in", {**SMALL, "medical_documents": titled})
    for options in ({"files": files}, {}):
        assert desk.import_from(tmp_path / "in", **options).refusals == []
        assert attachment(desk, "1")["url"] == "Binary/1"
    hospital.write(tmp_path / "in", {**SMALL, "medical_documents": documents("other.pdf")})
    desk.import_from(tmp_path / "in")
    assert is_missing(desk, "1")
    assert desk.stored("Binary")["1"]["method"] == "DELETE"
