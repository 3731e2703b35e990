"""The backup commands as an operator uses them: beside a serving server, killed in the middle, and restored."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

from tests.server.running import RunningServer


def _command(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "fhir_server", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _run(*arguments: str) -> tuple[int, str, str]:
    process = _command(*arguments)
    output, errors = process.communicate(timeout=300)
    return process.returncode, output.strip(), errors


def _history(base: str) -> list[Any]:
    answer = httpx.get(f"{base}Patient/_history?_count=1000", timeout=60).json()
    return sorted(
        (each["resource"] for each in answer["entry"]), key=lambda each: (each["id"], each["meta"]["versionId"])
    )


def test_back_up_kill_and_restore(tmp_path: Path) -> None:
    """What was there at the backup is there after the restore, and what was written later is not."""
    source, target, backups = tmp_path / "source", tmp_path / "target", tmp_path / "backups"
    with RunningServer(source) as server:
        for number in range(20):
            patient = {"resourceType": "Patient", "id": f"p{number % 10}", "name": [{"family": f"F{number}"}]}
            httpx.put(f"{server.base_url}Patient/p{number % 10}", json=patient, timeout=60).raise_for_status()
        before = _history(server.base_url)
        assert len(before) == 20
        _killed_in_the_middle(source, backups)
        status, folder, errors = _run("backup", str(backups), "--data-dir", str(source))
        assert status == 0, errors
        assert [str(path) for path in backups.iterdir()] == [folder]
        httpx.put(
            f"{server.base_url}Patient/late", json={"resourceType": "Patient", "id": "late"}, timeout=60
        ).raise_for_status()
    status, output, errors = _run("backup", "verify", folder)
    assert (status, "is whole" in output) == (0, True), errors
    status, output, errors = _run("restore", folder, "--data-dir", str(target))
    assert status == 0, errors
    assert _run("restore", folder, "--data-dir", str(target))[0] == 1
    assert _run("restore", folder, "--data-dir", str(source))[0] == 1
    with RunningServer(target) as server:
        assert _history(server.base_url) == before
        assert httpx.get(f"{server.base_url}Patient/late", timeout=60).status_code == 404
        assert httpx.get(f"{server.base_url}Patient?family=F19&_summary=count", timeout=60).json()["total"] == 1


def _killed_in_the_middle(source: Path, backups: Path) -> None:
    """Nothing that a killed backup leaves passes for one; the next one clears it away."""
    process = _command("backup", str(backups), "--data-dir", str(source))
    deadline = time.monotonic() + 60
    while not (left := list(backups.glob(".fhir-*.partial"))):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.kill()
    process.communicate()
    assert [path for path in backups.iterdir() if not path.name.startswith(".")] == []
    for path in left:
        assert _run("backup", "verify", str(path))[0] == 1


def test_the_server_backs_up_by_itself(tmp_path: Path) -> None:
    """Where a folder is set, the first backup is there soon after the start."""
    with RunningServer(tmp_path / "data", backup_dir=str(tmp_path / "backups")):
        deadline = time.monotonic() + 90
        while not (paths := list(tmp_path.glob("backups/fhir-*"))):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    status, output, errors = _run("backup", "verify", str(paths[0]))
    assert (status, "is whole" in output) == (0, True), errors
