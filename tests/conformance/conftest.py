"""The official examples and the Synthea bundles, where they are at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

DATA = Path(__file__).parents[2].parent / "shared" / "data"


def official_examples() -> list[Path]:
    """Return the files of the official R4 examples; none where they are not at hand."""
    return sorted((DATA / "r4-examples").glob("*.json"))


@pytest.fixture(scope="session")
def synthea() -> Path:
    """The folder of Synthea bundles; the test is skipped where it is absent."""
    folder = DATA / "synthea-r4"
    if not folder.is_dir():
        pytest.skip("the Synthea bundles are not at hand")
    return folder
