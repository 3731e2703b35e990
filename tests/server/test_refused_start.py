"""What a server that cannot start says: one line that names what to mend, and nothing of Python or the driver."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

NOWHERE = "mongodb://user:secret@127.0.0.1:1/?serverSelectionTimeoutMS=300"


def told(*arguments: str, **environment: str) -> str:
    """Return the one line that a command which fails says."""
    command = [sys.executable, "-m", "fhir_server", *arguments]
    settings = {name: value for name, value in os.environ.items() if not name.startswith("FHIR_SERVER_")}
    done = subprocess.run(command, env=settings | environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--database-url", NOWHERE], "database at 127.0.0.1:1 does not answer"),
        (["--database-url", "http://127.0.0.1"], "database URL cannot be understood"),
        (["--port", "99999"], "port: "),
        (["--workers", "0"], "workers: "),
        (["--host", "host.invalid"], "loopback"),
        (["--data-dir", "/dev/null"], "/dev/null"),
        (["--services", "fhir,lab"], "services: "),
        (["--services", "hms", "--fhir-base-url", "http://127.0.0.1:1/fhir"], "services is ehr"),
        (["--demo", "--fhir-base-url", "http://127.0.0.1:1/fhir"], "--demo"),
    ],
)
def test_a_server_that_cannot_start_names_the_reason(options: list[str], named: str, tmp_path: Path) -> None:
    """Each option that cannot be used ends the command with status 1 and one line, in which no password stands."""
    line = told("serve", "--open", "--data-dir", str(tmp_path / "data"), *options)
    assert named in line
    assert "secret" not in line


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "abc"), ("DEFAULT_TIMEZONE", "Mars/Phobos"), ("BASE_URL", "fhir"), ("MAX_BODY_BYTES", "0")],
)
def test_a_setting_of_the_environment_that_cannot_be_used_is_named(name: str, value: str, tmp_path: Path) -> None:
    """A wrong FHIR_SERVER_* variable is refused at the start, not met by the first request that needs it."""
    line = told("serve", "--open", "--data-dir", str(tmp_path / "data"), **{f"FHIR_SERVER_{name}": value})
    assert f"{name.lower()}: " in line


def test_a_port_in_use_is_told_before_a_database_starts(tmp_path: Path) -> None:
    """The line names the port, and the data directory stays untouched."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = told("serve", "--open", "--data-dir", str(tmp_path / "data"), "--port", str(port))
    assert f"port {port}" in line
    assert not (tmp_path / "data").exists()


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """`capability --output` into a folder that is not there says which file."""
    assert str(tmp_path / "none" / "x.json") in told("capability", "--output", str(tmp_path / "none" / "x.json"))
