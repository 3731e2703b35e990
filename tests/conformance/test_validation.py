"""The official examples and Synthea's patients are valid, but for those that break a rule of the specification."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from fhir_server.r4.validation import validate
from fhir_server.r4.values import decode
from tests.samples import SYNTHEA, official_example, official_examples

# Official examples that a strict validator must refuse, by file name: {"expression": the place, "reason": the rule}.
_BASELINE: dict[str, dict[str, str]] = json.loads(Path(__file__).with_name("validation_baseline.json").read_text())
_PARTS = 8
"""All 5,300 take 40 s: in parts, so that they can be checked in parallel."""


@pytest.mark.parametrize("part", range(_PARTS))
def test_the_official_examples_are_valid(part: int) -> None:
    """Each example is valid; those of the baseline have the fault that it names."""
    names = official_examples()[part::_PARTS]
    faults = {name: validate(decode(official_example(name)), max_depth=100) for name in names}
    assert {name: issues[0].expression[0] for name, issues in faults.items() if issues} == {
        name: fault["expression"] for name, fault in _BASELINE.items() if name in names
    }


@pytest.mark.parametrize("path", sorted(SYNTHEA.glob("*.gz")), ids=lambda path: path.name.partition("_")[0])
def test_synthea_bundles_are_valid(path: Path) -> None:
    """Each transaction bundle is valid as a whole, the resources of its entries included."""
    assert validate(decode(gzip.decompress(path.read_bytes())), max_depth=100) == []
