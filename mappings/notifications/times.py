"""Moments as a person reads them off the clock and the calendar on the wall, with the name of the clock's zone."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from mappings.notifications.languages import Language
from mappings.shared import clinic_clock

_WEEKDAYS: dict[Language, tuple[str, ...]] = {
    "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "es": ("lunes", "martes", "miércoles", "jueves", "viernes", "sábado", "domingo"),
}
_MONTHS: dict[Language, tuple[str, ...]] = {
    "en": ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
           "November", "December"),
    "es": ("enero", "febrero", "marzo", "abril", "mayo", "junio", "julio", "agosto", "septiembre", "octubre",
           "noviembre", "diciembre"),
}  # fmt: skip
_MOMENT: dict[Language, str] = {
    "en": "{weekday} {day} {month} {year} at {time}",
    "es": "{weekday} {day} de {month} de {year} a las {time}",
}
_AT_THE_CLINIC: dict[Language, str] = {"en": "{own} ({there} at the clinic)", "es": "{own} ({there} en la clínica)"}

_EUROPEAN = frozenset({"GMT", "BST", "WET", "WEST", "CET", "CEST", "EET", "EEST", "MSK"})
_AMERICAN = frozenset({"EST", "EDT", "CST", "CDT", "MST", "MDT", "PST", "PDT", "AKST", "AKDT"})
_ABBREVIATIONS: dict[Language, tuple[tuple[str, frozenset[str]], ...]] = {
    "en": (("Europe/", _EUROPEAN), ("America/", _AMERICAN)),
    "es": (("Europe/", _EUROPEAN), ("Atlantic/Canary", _EUROPEAN)),
}
"""Abbreviations that are read without doubt in a language, by where; CST alone is the time of three countries."""


def when(moment: datetime, clock: ZoneInfo, language: Language, *, there: ZoneInfo | None = None) -> str:
    """Return a moment on somebody's clock, and on the clinic's (`there`) where that shows another time."""
    own = _said(moment, clock, language)
    if there is None or _shows_the_same(moment, clock, there):
        return own
    same_day = clinic_clock.wall_date(moment, clock) == clinic_clock.wall_date(moment, there)
    place = time_with_zone(moment, there, language) if same_day else _said(moment, there, language)
    return _AT_THE_CLINIC[language].format(own=own, there=place)


def _shows_the_same(moment: datetime, clock: ZoneInfo, there: ZoneInfo) -> bool:
    return clinic_clock.shown(moment, clock).utcoffset() == clinic_clock.shown(moment, there).utcoffset()


def _said(moment: datetime, clock: ZoneInfo, language: Language) -> str:
    local = clinic_clock.shown(moment, clock)
    return _MOMENT[language].format(
        weekday=_WEEKDAYS[language][local.weekday()],
        day=local.day,
        month=_MONTHS[language][local.month - 1],
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
    for region, names in _ABBREVIATIONS[language]:
        if place.startswith(region) and abbreviation in names:
            return abbreviation
    minutes = round((local.utcoffset() or timedelta()) / timedelta(minutes=1))
    hours, rest = divmod(abs(minutes), 60)
    offset = f"{'-' if minutes < 0 else '+'}{hours}" + (f":{rest:02d}" if rest else "")
    return f"GMT{offset}" if minutes else "GMT"
