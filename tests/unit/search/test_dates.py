"""Dates and times as spans, and their texts that sort."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.search.index.index import index
from fhir_server.search.params.date_bounds import inverted, slack, sortable, wide_spans
from fhir_server.search.params.dates import date_range

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


widths = st.one_of(st.timedeltas(timedelta(0), timedelta(days=12)), st.integers(0, 3000).map(timedelta))
limits = st.datetimes(datetime(2015, 1, 1), datetime(2022, 1, 1)).map(lambda time: time.replace(tzinfo=UTC))


@given(st.lists(st.tuples(limits, widths), min_size=1, max_size=3), limits, limits)
def test_wide_values_are_found_by_how_far_they_reach(
    values: list[tuple[datetime, timedelta]], first: datetime, second: datetime
) -> None:
    """What begins more than a day before one bound and reaches beyond it has a key where such are looked for.

    So does what an earlier release has indexed, which knew no widths.
    """
    after, before = sorted((first, second))
    performed = [{"start": start.isoformat(), "end": (start + width).isoformat()} for start, width in values]
    timing = {"repeat": {"boundsPeriod": performed[0]}, "event": [each["start"] for each in performed[1:]]}
    request = {"resourceType": "ServiceRequest", "id": "s", "occurrenceTiming": timing}
    entry = index(request)
    [bounds] = entry["ranges"]["occurrence"]
    if bounds["l"] < slack(sortable(after)) and bounds["h"] > sortable(after):
        spans = wide_spans("occurrence", sortable(after), slack(sortable(after)))
        for keys in (entry["keys"], [f"occurrence~{bounds['l']}"]):
            assert any(low <= key < high for low, high in spans for key in keys), (spans, entry)
    if (
        bounds["l"] < sortable(before)
        and bounds["h"] > sortable(after)
        and any(key.startswith("occurrence~") for key in entry["keys"])
    ):
        spans = wide_spans("occurrence", sortable(after), sortable(before))
        assert any(low <= key < high for low, high in spans for key in entry["keys"]), (spans, entry)


@given(limits, widths, limits)
def test_what_cannot_reach_a_bound_is_mostly_not_read(start: datetime, width: timedelta, after: datetime) -> None:
    """A closed period up to 512 days is not looked at where it ends eight times its width before the bound, or more."""
    period = {"start": start.isoformat(), "end": (start + width).isoformat()}
    entry = index({"resourceType": "Encounter", "id": "e", "period": period})
    if width <= timedelta(days=500) and start + 8 * max(width, timedelta(days=1)) + timedelta(days=8) < after:
        spans = wide_spans("date", sortable(after), slack(sortable(after)))
        assert not any(low <= key < high for low, high in spans for key in entry["keys"])


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
