"""The file of refusals holds what patients' resources say, so its owner alone reads it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from fhir_server.load.report import write_refusals


@pytest.mark.parametrize("before", [None, 0o644])
def test_the_owner_alone_reads_what_was_refused(tmp_path: Path, before: int | None) -> None:
    """Also where there was such a file that others could read."""
    path = tmp_path / "refused.jsonl"
    if before is not None:
        path.write_text("old")
        path.chmod(before)
    write_refusals(path, [])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
