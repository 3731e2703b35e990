"""The newer mongod is used, and one whose line is past its end of life is told."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from fhir_server.store.database.mongod_lines import newer, past_its_end

TODAY = date(2026, 1, 1)


@pytest.mark.parametrize("version", ["3.6.23", "4.4.0", "5.0.31", "6.0.5"])
def test_a_line_past_its_end_is_told(version: str) -> None:
    """With the version and the day."""
    assert version in str(past_its_end(version, TODAY))


@pytest.mark.parametrize("version", ["7.0.1", "8.0.4", "8.2.0", "9.0.0", "unknown"])
def test_a_current_line_is_not(version: str) -> None:
    """Nor one of which nothing is known."""
    assert past_its_end(version, TODAY) is None


def _program(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("one", "other", "expected"), [("7.0.2", "6.0.5", "one"), ("5.0.9", "6.0.5", "other"), ("6.0.5", "6.0.5", "one")]
)
def test_the_newer_mongod_is_used(tmp_path: Path, one: str, other: str, expected: str) -> None:
    """By what the programs say of themselves; the first where they are equal."""
    programs = {
        "one": _program(tmp_path / "one", f"echo db version v{one}"),
        "other": _program(tmp_path / "other", f"echo db version v{other}"),
    }
    assert newer(programs["one"], programs["other"]) == programs[expected]


def test_a_program_that_fails_is_the_older_one(tmp_path: Path) -> None:
    """Something else called mongod on the PATH is not run instead of the one that works."""
    works = _program(tmp_path / "works", "echo db version v6.0.5")
    assert newer(_program(tmp_path / "fails", "exit 1"), works) == works
