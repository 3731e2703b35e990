"""Dates and times as spans, and their texts that sort."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.search.params.dates import date_range, inverted, slack, sortable

moments = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1)).map(lambda time: time.replace(tzinfo=UTC))


@given(moments, moments)
def test_texts_sort_as_times(first: datetime, second: datetime) -> None:
    """One text is below another exactly where its time is earlier; inverted texts the other way round."""
    assert (sortable(first) < sortable(second)) == (first < second)
    assert (inverted(sortable(first)) < inverted(sortable(second))) == (first > second)


@given(moments)
def test_slack_is_a_day_before(time: datetime) -> None:
    """What lasts a day at most and ends after a time begins no earlier than a day before it."""
    assert slack(sortable(time)) == sortable(time - timedelta(days=1))


@pytest.mark.parametrize(
    ("text", "width"),
    [
        ("2024", timedelta(days=366)),
        ("2024-02", timedelta(days=29)),
        ("2024-12", timedelta(days=31)),
        ("2024-02-29", timedelta(days=1)),
        ("2024-02-29T10:30", timedelta(minutes=1)),
        ("2024-02-29T10:30Z", timedelta(minutes=1)),
        ("2024-02-29T10:30:00+02:00", timedelta(seconds=1)),
        ("2024-02-29T10:30:00.5Z", timedelta(milliseconds=100)),
        ("2024-02-29T10:30:00.000Z", timedelta(milliseconds=1)),
    ],
)
def test_a_date_is_as_wide_as_its_precision(text: str, width: timedelta) -> None:
    """What is left out is what the date leaves open."""
    low, high = date_range(text, "UTC")
    assert high - low == width


def test_a_time_without_offset_is_in_the_zone() -> None:
    """The configured zone decides, the day of a clock change included."""
    assert date_range("2024-03-31", "Europe/Berlin") == (
        datetime(2024, 3, 30, 23, tzinfo=UTC),
        datetime(2024, 3, 31, 22, tzinfo=UTC),
    )
    assert date_range("2024-01-15T10:00:00-05:00", "Europe/Berlin")[0] == datetime(2024, 1, 15, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    ["", "24", "2024-13", "2024-02-30", "2024-1-1", "2024-01-01T24:00", "2024-01-01T10", "2024-01-01T10:60Z",
     "2024-01-01 10:00", "2024-01-01T10:00:00+25:00", "０２０２", "2024-01-01T10:00:00.Z", "0000"],
)  # fmt: skip
def test_what_is_no_date_is_refused(text: str) -> None:
    """A date is a calendar date in the form of FHIR, and nothing else."""
    with pytest.raises(ValueError, match=r"."):
        date_range(text, "UTC")
