"""Moments as a person reads them off the clock and the calendar on the wall, with the name of the clock's zone."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from mappings.shared import clinic_clock
from translations.catalogue import N_, NP_, Language, translated

_WEEKDAYS = (
    NP_("weekday", "Monday"),
    NP_("weekday", "Tuesday"),
    NP_("weekday", "Wednesday"),
    NP_("weekday", "Thursday"),
    NP_("weekday", "Friday"),
    NP_("weekday", "Saturday"),
    NP_("weekday", "Sunday"),
)
_MONTHS = (
    NP_("month", "January"),
    NP_("month", "February"),
    NP_("month", "March"),
    NP_("month", "April"),
    NP_("month", "May"),
    NP_("month", "June"),
    NP_("month", "July"),
    NP_("month", "August"),
    NP_("month", "September"),
    NP_("month", "October"),
    NP_("month", "November"),
    NP_("month", "December"),
)
_MOMENT = N_("{weekday} {day} {month} {year} at {time}")
_AT_THE_CLINIC = N_("{own} ({there} at the clinic)")

_EUROPEAN = frozenset({"GMT", "BST", "WET", "WEST", "CET", "CEST", "EET", "EEST", "MSK"})
_AMERICAN = frozenset({"EST", "EDT", "CST", "CDT", "MST", "MDT", "PST", "PDT", "AKST", "AKDT"})
_EVERYWHERE = (("Europe/", _EUROPEAN),)
_ABBREVIATIONS: dict[Language, tuple[tuple[str, frozenset[str]], ...]] = {
    "en": (("Europe/", _EUROPEAN), ("America/", _AMERICAN)),
    "es": (("Europe/", _EUROPEAN), ("Atlantic/Canary", _EUROPEAN)),
}
"""Abbreviations that are read without doubt in a language, by where; CST alone is the time of three countries."""


def when(moment: datetime, clock: ZoneInfo, language: Language, *, there: ZoneInfo | None = None) -> str:
    """Return a moment on somebody's clock, and on the clinic's (`there`) where that shows another time."""
    own = _in_words(moment, clock, language)
    if there is None or _shows_the_same(moment, clock, there):
        return own
    same_day = clinic_clock.wall_date(moment, clock) == clinic_clock.wall_date(moment, there)
    place = time_with_zone(moment, there, language) if same_day else _in_words(moment, there, language)
    return translated(_AT_THE_CLINIC, language).format(own=own, there=place)


def _shows_the_same(moment: datetime, clock: ZoneInfo, there: ZoneInfo) -> bool:
    return clinic_clock.shown(moment, clock).utcoffset() == clinic_clock.shown(moment, there).utcoffset()


def _in_words(moment: datetime, clock: ZoneInfo, language: Language) -> str:
    local = clinic_clock.shown(moment, clock)
    return translated(_MOMENT, language).format(
        weekday=translated(_WEEKDAYS[local.weekday()], language, "weekday"),
        day=local.day,
        month=translated(_MONTHS[local.month - 1], language, "month"),
        year=local.year,
        time=time_with_zone(moment, clock, language),
    )


def time_with_zone(moment: datetime, clock: ZoneInfo, language: Language) -> str:
    """Return the time that a clock shows, with its zone: "14:30 CET"."""
    local = clinic_clock.shown(moment, clock)
    return f"{local:%H:%M} {zone_name(local, language)}"


def zone_name(local: datetime, language: Language) -> str:
    """Return what the zone of a local time is called: "CET", "EST", else by its offset, "GMT-3" or "GMT+5:30"."""
    abbreviation, place = local.tzname() or "", getattr(local.tzinfo, "key", "")
    if place == "UTC":
        return "UTC"
    if place == "America/Havana":  # its CST is not Chicago's
        abbreviation = ""
    for region, names in _ABBREVIATIONS.get(language, _EVERYWHERE):
        if place.startswith(region) and abbreviation in names:
            return abbreviation
    minutes = round((local.utcoffset() or timedelta()) / timedelta(minutes=1))
    hours, rest = divmod(abs(minutes), 60)
    offset = f"{'-' if minutes < 0 else '+'}{hours}" + (f":{rest:02d}" if rest else "")
    return f"GMT{offset}" if minutes else "GMT"
