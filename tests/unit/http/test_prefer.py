"""The Prefer header."""

from __future__ import annotations

import pytest

from fhir_server.http.content.prefer import Preferences, preferences


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, Preferences()),
        ("return=minimal", Preferences(returns="minimal")),
        ("return=representation", Preferences(returns="representation")),
        ("return=OperationOutcome", Preferences(returns="OperationOutcome")),
        ("Return = operationoutcome", Preferences(returns="OperationOutcome")),
        ('handling="strict"', Preferences(handling="strict")),
        ("handling=lenient, return=minimal", Preferences(returns="minimal", handling="lenient")),
        ("respond-async, wait=10", Preferences(respond_async=True)),
        ("return=minimal; foo=bar", Preferences(returns="minimal")),
        ("return=minimal, return=representation", Preferences(returns="minimal")),
        ("return=everything, handling=, unknown=1", Preferences()),
    ],
)
def test_preferences(header: str | None, expected: Preferences) -> None:
    """A preference counts in any case, the first of two equal ones wins, and what is unknown is ignored."""
    assert preferences(header) == expected
