"""The official examples and Synthea's patients are valid, but for those that break a rule of the specification."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from fhir_server.r4.validation import validate
from fhir_server.r4.values import decode

_DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
_EXAMPLES = sorted((_DATA / "r4-examples").glob("*.json"))
_SYNTHEA = sorted((_DATA / "synthea-r4").glob("*.json.gz"))
# Official examples that a strict validator must refuse, by file name: {"expression": the place, "reason": the rule}.
_BASELINE: dict[str, dict[str, str]] = json.loads(Path(__file__).with_name("validation_baseline.json").read_text())


@pytest.mark.skipif(not _EXAMPLES, reason="the official examples are not beside the project")
def test_the_official_examples_are_valid() -> None:
    """Each example is valid; those of the baseline have exactly the fault that it names."""
    found = {
        path.name: [issue.expression[0] for issue in issues]
        for path in _EXAMPLES
        if (issues := validate(decode(path.read_bytes()), max_depth=100))
    }
    assert found == {name: [fault["expression"]] for name, fault in _BASELINE.items()}


@pytest.mark.skipif(not _SYNTHEA, reason="Synthea's bundles are not beside the project")
@pytest.mark.parametrize("path", _SYNTHEA, ids=lambda path: path.name.partition("_")[0])
def test_synthea_bundles_are_valid(path: Path) -> None:
    """Each transaction bundle is valid as a whole, the resources of its entries included."""
    assert validate(decode(gzip.decompress(path.read_bytes())), max_depth=100) == []
