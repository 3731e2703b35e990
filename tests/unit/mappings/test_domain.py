"""Queue, money, insurance, messages and calendar files."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pytest
from icalendar import Calendar, Timezone
from icalendar.timezone import TZP

from mappings.booking import calendar, time_zones
from mappings.catalogue.clinics import Clinic
from mappings.insurance import insurance
from mappings.notifications import messages, times
from mappings.notifications.notifications import KINDS
from mappings.shared.money import Money
from mappings.visits import waiting
from translations.catalogue import LANGUAGES, Language
from translations.negotiation import choose_language

ZONES_OF_INTEREST = (
    *("America/New_York", "America/Santiago", "America/Nuuk", "Europe/Berlin", "Europe/Dublin", "Africa/Casablanca"),
    *("Africa/Cairo", "Asia/Jerusalem", "Asia/Kathmandu", "Australia/Lord_Howe"),
)
NOW = datetime(2026, 3, 9, 14, 0, tzinfo=UTC)


def encounter(
    logical_id: str, status: str, start: int, end: int | None = None, seen: int | None = None
) -> dict[str, Any]:
    def at(minutes: int) -> str:
        return (NOW + timedelta(minutes=minutes)).isoformat()

    period = {"start": at(start)} | ({"end": at(end)} if end is not None else {})
    history = [{"status": "in-progress", "period": {"start": at(seen)}}] if seen is not None else []
    return {"resourceType": "Encounter", "id": logical_id, "status": status, "period": period, "statusHistory": history}


def test_first_come_first_served() -> None:
    """Who checked in first is next, whatever the order of the answer; who is being seen or gone does not wait."""
    people = [encounter("late", "arrived", 9), encounter("next", "triaged", 1), encounter("in", "in-progress", 0)]
    queue = waiting.queue([*people, encounter("gone", "finished", 0, 5)], 30)
    assert queue.waiting == ("next", "late")
    assert (queue.position("next"), queue.position("late"), queue.position("in")) == (1, 2, None)


def test_wait_before_anyone_was_seen() -> None:
    """While nobody was seen today, each one ahead counts as long as a slot."""
    queue = waiting.queue([encounter(str(number), "arrived", number) for number in range(3)], 20)
    assert [queue.wait_minutes(position) for position in (1, 2, 3)] == [0, 20, 40]
    assert queue.wait_minutes() == 60


def test_wait_by_todays_visits() -> None:
    """After finished visits, each one ahead counts as long as those took on average, in begun minutes."""
    visits = [encounter("a", "finished", 0, 10), encounter("b", "finished", 5, 40, seen=25)]
    queue = waiting.queue([*visits, encounter("c", "arrived", 41), encounter("d", "arrived", 42)], 30)
    assert queue.visit_length == timedelta(minutes=12, seconds=30)
    assert queue.wait_minutes(2) == 13


@pytest.mark.parametrize(
    ("amount", "currency", "units"),
    [("90.00", "USD", 9000), ("90", "USD", 9000), ("500", "JPY", 500), ("1.234", "KWD", 1234), ("0.1", None, 10)],
)
def test_smallest_units(amount: str, currency: str | None, units: int) -> None:
    """An amount is a whole number of its currency's smallest unit, and back."""
    money = Money(amount=Decimal(amount), currency=currency)
    assert money.smallest_units() == units
    if currency:
        assert Money.from_smallest_units(units, currency) == money


@pytest.mark.parametrize(("amount", "currency"), [("0.001", "USD"), ("0.5", "JPY"), ("1.2345", "KWD")])
def test_money_is_not_rounded(amount: str, currency: str) -> None:
    """An amount that is finer than its currency cannot be charged."""
    money = Money(amount=Decimal(amount), currency=currency)
    assert not money.payable
    with pytest.raises(ValueError, match="smallest unit"):
        money.smallest_units()


@pytest.mark.parametrize("amount", ["0", "-1"])
def test_only_positive_amounts_are_payable(amount: str) -> None:
    """Nothing and less than nothing cannot be paid."""
    assert not Money(amount=Decimal(amount), currency="USD").payable


@pytest.mark.parametrize(
    ("elements", "state"),
    [
        ({}, "active"),
        ({"valid_from": "2026-03-09", "valid_until": "2026-03-09"}, "active"),
        ({"valid_until": "2026-03-08"}, "expired"),
        ({"valid_from": "2026-03-10"}, "inactive"),
        ({"status": "cancelled"}, "inactive"),
        ({"status": "cancelled", "valid_until": "2020-01-01"}, "expired"),
    ],
)
def test_standing_of_a_policy(elements: dict[str, Any], state: str) -> None:
    """A policy is in force from its first to its last day, both included, while its Coverage is active."""
    assert insurance.state_of(insurance.Policy(id="1", **elements), date(2026, 3, 9)) == state


def test_standing_of_no_policy() -> None:
    """What is not known of is neither active nor expired."""
    assert insurance.state_of(None, date(2026, 3, 9)) == "unknown"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_speaks_every_language(kind: Any, language: Language) -> None:
    """Every kind of notification has a text in every language, also when no fact is known."""
    facts = {"doctor": "Dr X", "clinic": "Harbour", "when": "soon", "what": "Lipids", "amount": "90.00 USD"}
    text = messages.message(kind, language, **facts)
    assert "{" not in text
    assert "Dr X" in text or "Lipids" in text
    assert messages.message(kind, language).strip()


def test_times_on_the_users_clock() -> None:
    """A moment is said on the user's own clock and calendar, whose zone it names."""
    moment = datetime(2026, 3, 9, 23, 30, tzinfo=UTC)
    new_york, madrid = ZoneInfo("America/New_York"), ZoneInfo("Europe/Madrid")
    assert times.when(moment, new_york, "en") == "Monday 9 March 2026 at 19:30 EDT"
    assert times.when(moment, madrid, "es") == "martes 10 de marzo de 2026 a las 00:30 CET"
    assert times.when(moment, madrid, "en", there=ZoneInfo("Europe/Paris")) == "Tuesday 10 March 2026 at 00:30 CET"


def test_times_on_the_clinics_clock_too() -> None:
    """Where the clinic's clock shows another time, that is said beside it, with its day where that is another."""
    new_york, madrid = ZoneInfo("America/New_York"), ZoneInfo("Europe/Madrid")
    evening, noon = datetime(2026, 3, 9, 23, 30, tzinfo=UTC), datetime(2026, 1, 9, 12, 0, tzinfo=UTC)
    assert times.when(noon, madrid, "en", there=new_york) == (
        "Friday 9 January 2026 at 13:00 CET (07:00 EST at the clinic)"
    )
    assert times.when(evening, madrid, "es", there=new_york) == (
        "martes 10 de marzo de 2026 a las 00:30 CET (lunes 9 de marzo de 2026 a las 19:30 GMT-4 en la clínica)"
    )


@pytest.mark.parametrize(
    ("zone", "english", "spanish"),
    [
        ("UTC", "UTC", "UTC"),
        ("Europe/London", "GMT", "GMT"),
        ("America/Sao_Paulo", "GMT-3", "GMT-3"),
        ("Asia/Kolkata", "GMT+5:30", "GMT+5:30"),
        ("America/St_Johns", "GMT-3:30", "GMT-3:30"),
        ("Asia/Shanghai", "GMT+8", "GMT+8"),
        ("America/Chicago", "CST", "GMT-6"),
        ("America/Havana", "GMT-5", "GMT-5"),
        ("Africa/Abidjan", "GMT", "GMT"),
    ],
)
def test_names_of_zones(zone: str, english: str, spanish: str) -> None:
    """A zone is called by an abbreviation that is read without doubt, else by its offset."""
    moment = datetime(2026, 1, 9, 12, 0, tzinfo=UTC)
    assert times.time_with_zone(moment, ZoneInfo(zone), "en").split()[1] == english
    assert times.time_with_zone(moment, ZoneInfo(zone), "es").split()[1] == spanish


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_visit_of_the_family_says_whose(language: Language) -> None:
    """What is told of an appointment names the family member whom it is for, in calendars too."""
    for kind in ("appointment_booked", "appointment_rescheduled", "appointment_canceled", "appointment_reminder"):
        assert "Ada" in messages.message(kind, language, member="Ada")  # type: ignore[arg-type]
        assert "Ada" not in messages.message(kind, language)  # type: ignore[arg-type]
    assert "Ada" in messages.visit_title(language, doctor=None, clinic=None, member="Ada")


@pytest.mark.parametrize(
    ("header", "own", "language"),
    [
        (None, None, "en"),
        (None, "es", "es"),
        ("es", "en", "es"),
        ("fr", "es-MX", "es"),
        ("fr, es-AR;q=0.8, en;q=0.9", None, "en"),
        ("en;q=0, es;q=0.1", None, "es"),
        ("es;q=x", None, "en"),
        ("*", None, "en"),
    ],
)
def test_choice_of_language(header: str | None, own: str | None, language: str) -> None:
    """The best language of Accept-Language is spoken, else the user's own, else English."""
    assert choose_language(header, own) == language


CLINIC = Clinic(
    id="c", name="Harbour", address="12 Ferry Street", latitude=Decimal("43.6591"), longitude=Decimal("-70.2")
)


def entry(**elements: Any) -> calendar.CalendarEntry:
    start = datetime(2026, 3, 9, 13, 30, tzinfo=UTC)
    fields = {"sequence": 2, "summary": "Dr X", "stamp": NOW, "start": start, "end": start + timedelta(minutes=30)}
    return calendar.CalendarEntry("a1", **(fields | elements))


def test_calendar_file() -> None:
    """The file names the clinic's zone and defines it, and has a stable UID, a sequence, a place and an alarm."""
    text = calendar.calendar(entry(), CLINIC, ZoneInfo("America/New_York"), "hms.example.org")
    file = Calendar.from_ical(text)
    event = file.events[0]
    assert b"DTSTART;TZID=America/New_York:20260309T093000\r\n" in text
    assert [str(zone["tzid"]) for zone in file.timezones] == ["America/New_York"]
    assert (str(file["method"]), str(event["uid"]), event["sequence"]) == ("PUBLISH", "a1@hms.example.org", 2)
    assert str(event["location"]) == "Harbour, 12 Ferry Street"
    assert event.alarms.times[0].trigger == datetime(2026, 3, 9, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize("name", sorted(available_timezones() & set(ZONES_OF_INTEREST)))
def test_a_zone_has_one_definition_that_is_right_in_all_years(name: str) -> None:
    """What a file says of its zone is the same whatever the year, and shows each moment of each year as the clock."""
    clock = ZoneInfo(name)
    text = time_zones.definition(name).to_ical()
    read = Timezone.from_ical(text).to_tz(TZP("zoneinfo"), lookup_tzid=False)
    for year in (1971, 1987, 2005, 2006, 2007, 2025, 2026, 2040, 2060, 2087, 2099):
        for day in range(0, 366, 3):
            moment = datetime(year, 1, 1, 0, 30, tzinfo=UTC) + timedelta(days=day, hours=day % 24)
            local = moment.astimezone(clock).replace(tzinfo=None)
            assert local.replace(tzinfo=read).utcoffset() == local.replace(tzinfo=clock).utcoffset(), local


def test_onset_of_daylight_saving() -> None:
    """The onset of daylight saving time is what the clock shows before it is changed."""
    text = time_zones.definition("America/New_York").to_ical().decode()
    parts = [part for part in text.split("BEGIN:") if "RRULE" in part]
    assert ["DTSTART:20070311T020000" in part for part in parts] == [True, False]
    assert "RRULE:FREQ=YEARLY;BYDAY=2SU;BYMONTH=3" in parts[0]
    assert "DTSTART:20071104T020000" in parts[1]
    berlin = time_zones.definition("Europe/Berlin").to_ical().decode()
    assert "T020000\r\nRRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3" in berlin


@pytest.mark.parametrize(
    ("clinic", "organizer"),
    [
        ({"email": "desk@harbour.example", "name": "Harbour, north"}, "mailto:desk@harbour.example"),
        ({"email": "a b@c\r\nX:y", "name": "Harbour"}, "mailto:noreply@hms.example.org"),
        ({}, "mailto:noreply@hms.example.org"),
    ],
)
def test_the_clinic_is_the_organizer(clinic: dict[str, Any], organizer: str) -> None:
    """Events name the clinic as their organizer, by an address that is one."""
    text = calendar.calendar(entry(), Clinic(id="c", **clinic), ZoneInfo("UTC"), "hms.example.org")
    result = Calendar.from_ical(text).events[0]["organizer"]
    assert str(result) == organizer
    assert result.params.get("cn") == clinic.get("name")


def test_calendar_file_of_a_canceled_appointment() -> None:
    """Cancelling sends the same UID with METHOD:CANCEL and rings no alarm."""
    file = Calendar.from_ical(calendar.calendar(entry(canceled=True), CLINIC, ZoneInfo("UTC"), "hms.example.org"))
    event = file.events[0]
    assert (str(file["method"]), str(event["status"]), str(event["uid"])) == (
        "CANCEL",
        "CANCELLED",
        "a1@hms.example.org",
    )
    assert not event.walk("VALARM")


def test_calendar_text_is_escaped() -> None:
    """A reason with line breaks and separators stays one property."""
    text = calendar.calendar(entry(description="a\r\nEND:VEVENT;x,y"), CLINIC, ZoneInfo("UTC"), "hms.example.org")
    assert text.count(b"\r\nEND:VEVENT\r\n") == 1


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        ("95.5", "USD", "95.50 USD"),
        ("95.50", "USD", "95.50 USD"),
        ("20", "USD", "20 USD"),
        ("20.00", "EUR", "20 EUR"),
        ("1E+3", "JPY", "1000 JPY"),
        ("1.5", "KWD", "1.500 KWD"),
        ("1.234", "USD", "1.234 USD"),
        ("0.5", "JPY", "0.5 JPY"),
        ("7.1", None, "7.10"),
        ("-7.1", "USD", "-7.10 USD"),
        ("12345678901234567890.1", "USD", "12345678901234567890.10 USD"),
    ],
)
def test_an_amount_in_a_message(amount: str, currency: str | None, text: str) -> None:
    """Whole amounts have no digits after the point, others as many as the currency has; none is rounded."""
    assert Money(amount=Decimal(amount), currency=currency).text == text
