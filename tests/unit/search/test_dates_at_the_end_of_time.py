"""The last dates there are, which many systems write for "for ever"."""

from __future__ import annotations

import pytest

from fhir_server.search.index import index
from fhir_server.search.params.dates import date_range


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York"])
@pytest.mark.parametrize(
    "text", ["9999", "9999-12", "9999-12-31", "9999-12-31T23:59Z", "9999-12-31T23:59:59.999-12:00", "0001-01-01"]
)
def test_the_ends_of_time_are_ranges(text: str, zone: str) -> None:
    """The first and the last years, months, days and times have bounds in order."""
    low, high = date_range(text, zone)
    assert low <= high
    assert {low.year, high.year} <= {1, 9998, 9999}


def test_what_lasts_for_ever_can_be_indexed() -> None:
    """A resource that is dated to the end of time gets an index entry like any other."""
    coverage = {"resourceType": "Encounter", "period": {"start": "2020-01-01", "end": "9999-12-31"}}
    assert len(index(coverage)["ranges"]["date"]) == 1
