"""Openings follow from availability, opening hours and slots, and keep to the wall clock whatever is done to it."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.own_urls import own_url
from mappings.catalogue import availability
from mappings.catalogue.availability import Opening, computed, openings
from mappings.shared import clinic_clock
from tests.unit.mappings.strategies import ZONES

NEW_YORK = ZoneInfo("America/New_York")
TOKYO = ZoneInfo("Asia/Tokyo")
MONDAY = date(2026, 3, 9)
SPRING_FORWARD = date(2026, 3, 8)
FALL_BACK = date(2026, 11, 1)


def role(start: str = "09:00:00", end: str = "12:00:00", *days: str, **elements: Any) -> dict[str, Any]:
    time_of_day: dict[str, Any] = {"availableStartTime": start, "availableEndTime": end}
    if days:
        time_of_day["daysOfWeek"] = list(days)
    return {"resourceType": "PractitionerRole", "id": "r", "availableTime": [time_of_day], **elements}


def clinic(*hours: tuple[str, str]) -> dict[str, Any]:
    return {
        "resourceType": "Location",
        "id": "c",
        "hoursOfOperation": [{"openingTime": opens, "closingTime": closes} for opens, closes in hours],
    }


def slot(start: str, end: str, status: str = "free", **elements: Any) -> dict[str, Any]:
    return {"resourceType": "Slot", "id": f"s{start}", "status": status, "start": start, "end": end, **elements}


def starts(result: list[Opening], clock: ZoneInfo = NEW_YORK) -> list[str]:
    return [f"{clinic_clock.wall_time(item.start, clock):%H:%M}" for item in result]


def test_availability_within_opening_hours() -> None:
    """A doctor is available from nine to twelve, but a clinic open from ten to half past eleven offers three slots."""
    result = computed(role(), clinic(("10:00:00", "11:30:00")), MONDAY, NEW_YORK)
    assert starts(result) == ["10:00", "10:30", "11:00"]
    assert result[0].start.isoformat() == "2026-03-09T14:00:00+00:00"


def test_opening_hours_that_touch_are_one() -> None:
    """A slot may span the moment at which one of the clinic's hours follows on another."""
    result = computed(role(), clinic(("08:00:00", "10:15:00"), ("10:15:00", "11:00:00")), MONDAY, NEW_YORK)
    assert starts(result) == ["09:00", "09:30", "10:00", "10:30"]


def test_only_on_the_days_of_the_week() -> None:
    """Availability on Tuesdays makes no slot on a Monday."""
    assert computed(role("09:00:00", "10:00:00", "tue"), {}, MONDAY, NEW_YORK) == []
    assert len(computed(role("09:00:00", "10:00:00", "tue"), {}, MONDAY + timedelta(days=1), NEW_YORK)) == 2


def test_length_of_the_role() -> None:
    """The role says how long a slot is; what is left over at the end is no slot."""
    url = "https://hms.example.org/fhir/StructureDefinition/slot-minutes"
    longer = role("09:00:00", "10:30:00", extension=[{"url": url, "valuePositiveInt": 40}])
    assert starts(computed(longer, {}, MONDAY, NEW_YORK)) == ["09:00", "09:40"]


@pytest.mark.parametrize(
    ("elements", "location"),
    [
        ({"active": False}, {}),
        ({}, {"status": "suspended"}),
        ({"notAvailable": [{"description": "Leave", "during": {"start": "2026-03-09", "end": "2026-03-09"}}]}, {}),
        ({"notAvailable": [{"description": "Gone for good"}]}, {}),
        ({"notAvailable": [{"description": "x", "during": {"start": "0001-01-01", "end": "9999-12-31"}}]}, {}),
    ],
)
def test_not_available(elements: dict[str, Any], location: dict[str, Any]) -> None:
    """A role that has ended or is on leave, and a clinic that is closed, have no openings."""
    assert computed(role(**elements), location, MONDAY, NEW_YORK) == []


def test_leave_is_counted_in_the_clinics_days() -> None:
    """A leave that ends on Sunday does not take the hours of Monday morning, in any zone."""
    away = role("00:00:00", "01:00:00", notAvailable=[{"description": "", "during": {"end": "2026-03-08"}}])
    assert starts(computed(away, {}, MONDAY, NEW_YORK)) == ["00:00", "00:30"]
    assert starts(computed(away, {}, MONDAY, TOKYO), TOKYO) == ["00:00", "00:30"]


@pytest.mark.parametrize(("day", "count"), [(MONDAY, 48), (SPRING_FORWARD, 46), (FALL_BACK, 50)])
def test_slots_of_a_day_when_the_clock_is_changed(day: date, count: int) -> None:
    """Around the clock a day has as many half hours as it really lasts: 23, 24 or 25 hours."""
    around_the_clock = {"resourceType": "PractitionerRole", "id": "r", "availableTime": [{"allDay": True}]}
    assert len(computed(around_the_clock, {}, day, NEW_YORK)) == count


def test_the_wall_clock_is_kept_when_it_is_changed() -> None:
    """Slots of 45 minutes from midnight start at nine also on the days when the clock is changed."""
    url = "https://hms.example.org/fhir/StructureDefinition/slot-minutes"
    night_and_day = role("00:00:00", "12:00:00", extension=[{"url": url, "valuePositiveInt": 45}])
    for day in (MONDAY, SPRING_FORWARD, FALL_BACK):
        assert "09:00" in starts(computed(night_and_day, {}, day, NEW_YORK))


def test_a_night_shift() -> None:
    """A shift from ten in the evening to two is offered on both days, each with its own hours."""
    night = role("22:00:00", "02:00:00", "sun")
    assert starts(computed(night, {}, date(2026, 3, 15), NEW_YORK)) == ["22:00", "22:30", "23:00", "23:30"]
    assert starts(computed(night, {}, date(2026, 3, 16), NEW_YORK)) == ["00:00", "00:30", "01:00", "01:30"]


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(ZONES).map(ZoneInfo),
    st.dates(date(2020, 1, 1), date(2030, 12, 31)),
    st.integers(5, 120),
    st.times(),
    st.times(),
)
def test_openings_never_overlap(clock: ZoneInfo, day: date, minutes: int, opens: time, closes: time) -> None:
    """On any day, in any zone, with any length: openings are of that day, as long as asked, and do not overlap."""
    result = computed(role(f"{opens:%H:%M}:00", f"{closes:%H:%M}:00"), {}, day, clock, minutes)
    for item in result:
        assert clinic_clock.wall_date(item.start, clock) == day
        assert item.end - item.start == timedelta(minutes=minutes)
        assert availability.computed_start(item.id) == item.start
    for first, second in pairwise(result):
        assert first.end <= second.start


def test_written_slots_replace_computed_ones() -> None:
    """On a day with written slots only those are offered, with their own times and status."""
    written = [
        slot("2026-03-09T09:10:00-04:00", "2026-03-09T09:30:00-04:00"),
        slot("2026-03-09T15:00:00-04:00", "2026-03-09T15:30:00-04:00", "busy-tentative"),
        slot("2026-03-09T16:00:00-04:00", "2026-03-09T16:30:00-04:00", "entered-in-error"),
        slot("2026-03-10T09:00:00-04:00", "2026-03-10T09:30:00-04:00"),
    ]
    result = openings(role(), {}, written, day=MONDAY, clock=NEW_YORK)
    assert starts(result) == ["09:10", "15:00"]
    assert [item.status for item in result] == ["free", "busy"]


def test_a_booked_computed_slot_leaves_the_others() -> None:
    """Once a computed slot is booked it has a resource, and the rest of the day is offered as before."""
    start = datetime(2026, 3, 9, 9, 30, tzinfo=NEW_YORK)
    mark = {"identifier": [{"system": own_url("identifier", availability.COMPUTED), "value": "x"}]}
    booked = slot("2026-03-09T09:30:00-04:00", "2026-03-09T10:00:00-04:00", "busy", **mark)
    booked["id"] = availability.computed_id("r", start)
    result = openings(role("09:00:00", "10:30:00"), {}, [booked], day=MONDAY, clock=NEW_YORK)
    assert [item.status for item in result] == ["free", "busy", "free"]
    assert result[1].slot == booked
    assert result[0].slot is None


def test_what_overlaps_a_busy_slot_is_busy() -> None:
    """An opening that a busy slot of another length overlaps cannot be booked."""
    mark = {"identifier": [{"system": own_url("identifier", availability.COMPUTED), "value": "x"}]}
    longer = slot("2026-03-09T09:15:00-04:00", "2026-03-09T09:45:00-04:00", "busy", **mark)
    result = openings(role("09:00:00", "10:30:00"), {}, [longer], day=MONDAY, clock=NEW_YORK)
    assert [item.status for item in result] == ["busy", "busy", "free"]


@pytest.mark.parametrize("text", ["s1", "at-20260309T130000Z", "at-20261309T130000Z-0123456789abcdef", ""])
def test_ids_of_other_slots(text: str) -> None:
    """Only the id of a computed opening stands for a start."""
    assert availability.computed_start(text) is None


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(ZONES).map(ZoneInfo), st.datetimes(datetime(1975, 1, 1), datetime(2100, 1, 1)))
def test_every_occurrence_shows_its_time(clock: ZoneInfo, wall: datetime) -> None:
    """Each moment at which a clock shows a time is one at which it shows that time."""
    moments = clinic_clock.occurrences(wall.date(), wall.time(), clock)
    assert len(moments) <= 2
    for moment in moments:
        assert (clinic_clock.wall_date(moment, clock), clinic_clock.wall_time(moment, clock)) == (
            wall.date(),
            wall.time(),
        )


def test_skipped_and_repeated_times() -> None:
    """A time that the clock skips never occurs, one that it repeats occurs twice, an hour apart."""
    assert clinic_clock.occurrences(SPRING_FORWARD, time(2, 30), NEW_YORK) == []
    first, second = clinic_clock.occurrences(FALL_BACK, time(1, 30), NEW_YORK)
    assert second.astimezone(UTC) - first.astimezone(UTC) == timedelta(hours=1)


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../etc/passwd", "/etc/localtime", "A" * 300])
def test_names_that_are_no_zone(name: str) -> None:
    """A name that is no IANA zone is refused, however it looks."""
    with pytest.raises(ValueError, match="not an IANA time zone"):
        clinic_clock.zone(name)
