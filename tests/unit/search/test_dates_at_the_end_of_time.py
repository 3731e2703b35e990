"""The first and the last dates there are, which many systems write for "always" and "for ever", and leap seconds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.search.index.index import index
from fhir_server.search.params.dates import date_range
from fhir_server.search.planner.query import compile_query
from fhir_server.search.query.conditions import AnyOf, Condition, KeySpan, Narrowed, leaves
from fhir_server.search.query.match import holds, matches
from fhir_server.search.query.parse import parse
from fhir_server.search.registry import parameters

NOW = datetime(2026, 6, 1, tzinfo=UTC)
PREFIXES = ("", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")
ENDS = (
    "0001", "0001-01", "0001-01-01", "0001-01-01T00:00Z", "0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00.000-12:00",
    "9999", "9999-12", "9999-12-30", "9999-12-31", "9999-12-31T00:00:00Z", "9999-12-31T23:59Z",
    "9999-12-31T23:59:59+14:00", "9999-12-31T23:59:59.999-12:00", "9999-12-31T23:59:60Z",
)  # fmt: skip
MIDDLE = ("2011-12-30", "2016-12-31", "2016-12-31T23:59:60Z", "2017-01-01", "2024-02-29T12:00:00.5+02:00")
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Pacific/Apia")

texts = st.sampled_from(ENDS + MIDDLE)
zones = st.sampled_from(ZONES)


def _holds(prefix: str, result: tuple[datetime, datetime], requested: tuple[datetime, datetime]) -> bool:
    """Decide a prefix on two spans as the specification words it."""
    inside = requested[0] <= result[0] and result[1] <= requested[1]
    return {
        "": inside,
        "eq": inside,
        "ne": not inside,
        "gt": result[1] > requested[1],
        "lt": result[0] < requested[0],
        "ge": result[1] > requested[1] or inside,
        "le": result[0] < requested[0] or inside,
        "sa": result[0] >= requested[1],
        "eb": result[1] <= requested[0],
    }[prefix]


def _implied(condition: Condition, entry: dict[str, Any]) -> bool:
    """Return whether what is read of the index for a condition includes the entry."""
    assert isinstance(condition, Narrowed)
    spans = list(leaves(condition.by))
    assert all(isinstance(each, KeySpan) for each in spans)
    return holds(AnyOf(tuple(spans)), entry)


@given(texts, zones)
def test_every_date_is_a_range(text: str, zone: str) -> None:
    """A date begins before it ends, whatever the zone and however near the ends of time."""
    low, high = date_range(text, zone)
    assert low < high


@given(texts, texts, st.sampled_from(PREFIXES[:-1]), zones)
def test_prefixes_hold_at_the_ends_of_time(value: str, asked: str, prefix: str, zone: str) -> None:
    """Every prefix decides as on any other date, and the part of the index that is read has every match."""
    resource = {"resourceType": "Procedure", "id": "p", "performedDateTime": value}
    query = parse(("Procedure",), [("date", prefix + asked)], strict=True, timezone=zone, now=NOW)
    entry = index(resource, timezone=zone)
    result = matches(query, resource, timezone=zone)
    assert result == _holds(prefix, date_range(value, zone), date_range(asked, zone))
    if result:
        assert _implied(query.condition("Procedure"), entry)


@given(texts, texts, texts, zones)
def test_a_window_reads_all_that_it_holds(value: str, low: str, high: str, zone: str) -> None:
    """Two bounds on one parameter are read from one part of the index, which has every match."""
    assume(date_range(value, zone)[0] <= date_range(high, zone)[0])
    resource = {"resourceType": "Procedure", "id": "p", "performedPeriod": {"start": value, "end": high}}
    pairs = [("date", f"ge{low}"), ("date", f"le{high}")]
    query = parse(("Procedure",), pairs, strict=True, timezone=zone, now=NOW)
    if matches(query, resource, timezone=zone):
        keys = index(resource, timezone=zone)["keys"]
        [plan] = compile_query(query).types
        walks = plan.drives[0].scans
        assert any(walk.low <= key < walk.high for walk in walks for key in keys)  # type: ignore[union-attr]


@pytest.mark.parametrize("resource_type", sorted(RESOURCE_TYPES))
def test_every_date_parameter_takes_the_ends_of_time(resource_type: str) -> None:
    """No date parameter of any type fails on the first and last dates, with any prefix; nor does a composite's."""
    names = ["_lastUpdated", *(each.code for each in parameters(resource_type).values() if each.type == "date")]
    pairs = [(name, prefix + text) for name in names for text in ENDS for prefix in PREFIXES]
    for pair in pairs:
        for zone in ("UTC", "Pacific/Apia"):
            compile_query(parse((resource_type,), [pair], strict=True, timezone=zone, now=NOW))


def test_what_lasts_for_ever_can_be_indexed() -> None:
    """A resource that is dated to the end of time gets an index entry like any other."""
    coverage = {"resourceType": "Encounter", "period": {"start": "2020-01-01", "end": "9999-12-31"}}
    assert len(index(coverage)["ranges"]["date"]) == 1


@pytest.mark.parametrize(
    ("requested", "expected"),
    [
        ("2016-12-31", True),
        ("2016-12-31T23:59", True),
        ("2016-12-31T23:59:60Z", True),
        ("lt2017-01-01", True),
        ("2017-01-01", False),
        ("ge2017", False),
    ],
)
def test_a_leap_second_is_on_its_own_day(requested: str, expected: bool) -> None:
    """The 61st second of a minute belongs to that minute, not to the next."""
    resource = {"resourceType": "Procedure", "id": "p", "performedDateTime": "2016-12-31T23:59:60Z"}
    assert matches(parse(("Procedure",), [("date", requested)], strict=True), resource) == expected
