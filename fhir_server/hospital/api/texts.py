"""What is said about a faulty field."""

from __future__ import annotations

from typing import Any

from translations.catalogue import N_, Language, translated

_TEXTS: dict[str, str] = {
    "missing": N_("This field is required."),
    "extra_forbidden": N_("There is no such field."),
    "string_too_short": N_("This is too short."),
    "string_too_long": N_("This is too long."),
    "literal_error": N_("This is not one of the possible values."),
    "blank": N_("This must not be blank."),
    "email": N_("This is not an email address."),
    "phone": N_("This is not a phone number; write it with + and the country's code."),
    "timezone": N_("This is not an IANA time zone."),
    "language": N_("This is not a language code."),
    "birth_date": N_("This date is in the future."),
    "password_short": N_("A password has at least 10 characters."),
    "password_long": N_("A password has at most 256 characters."),
    "password_common": N_("This password is too easy to guess."),
    "password_personal": N_("A password must not contain your name or address."),
    "picture": N_("A picture is an https URL, or a small image as a data: URL."),
    "characters": N_("This holds what is no character."),
    "one_line": N_("This must be one line, without line breaks or control characters."),
    "date": N_("This must be a date such as 2026-03-09."),
    "time": N_("This must be a time such as 14:30."),
    "unknown_id": N_("There is none with this id."),
    "not_here": N_("This doctor does not work there."),
    "not_offered": N_("This clinic does not offer it."),
    "slot_or_time": N_("Give slot_id, or appointment_date and appointment_time."),
    "too_wide": N_("At most 31 days can be asked for."),
    "order": N_("This is before the start."),
    "offset": N_("A time needs its offset, as in 2026-03-09T14:30:00Z."),
    "near": N_("Write latitude and longitude as 43.65,-70.25."),
    "card_token": N_("Paying by card needs a card_token."),
    "positive": N_("The amount must be positive."),
    "currency": N_("The amount does not fit the currency."),
    "one_of_both": N_("Give one of both."),
    "both_coordinates": N_("Give latitude and longitude, or neither."),
    "which_patient": N_("The token does not show one Patient alone: say whose record is meant."),
    "policy": N_("There is no insurance policy to verify."),
    "file_type": N_("Files of this type are not taken."),
    "clinic_closed": N_("The clinic is closed."),
    "skipped_time": N_("The clock skips this time on that day."),
}
_FAMILIES: tuple[tuple[str, str], ...] = (
    ("string_pattern", N_("This is not valid.")),
    ("int", N_("This must be a whole number.")),
    ("decimal", N_("This must be a number.")),
    ("float", N_("This must be a number.")),
    ("datetime", N_("This must be a time such as 2026-03-09T14:30:00Z.")),
    ("date", N_("This must be a date such as 2026-03-09.")),
    ("time", N_("This must be a time such as 14:30.")),
    ("bool", N_("This must be true or false.")),
    ("string", N_("This must be a text.")),
    ("greater", N_("This is too small.")),
    ("less", N_("This is too large.")),
)

_OUTAGES = (
    N_("The disk of the database is full. It goes on by itself when there is room."),
    N_("The database was killed from outside, as for want of memory; it is being started again."),
    N_("The database cannot start: it may not read or write its files. Somebody must correct that."),
    N_("The database cannot start: its files are damaged. Somebody must restore them."),
    N_("The database cannot start: its files are those of another version. Somebody must correct that."),
    N_("The database cannot start: its address is taken by another process."),
    N_("The database cannot go on: it may not open as many files as it needs."),
    N_("The database cannot start: its program lacks something on this machine."),
    N_("The database has ended unexpectedly; it is being started again."),
)
"""What `store/database/outage` says, marked here since the store speaks to nobody."""

_NOT_VALID = N_("This is not valid.")

_MAPPINGS = {"must not be blank": "blank", "must not hold control characters": "characters"}
"""How the mappings say what the table has a key for."""


def worded(message: str, language: Language) -> str:
    """Return the text that a key stands for; a text that is no key stays as it is."""
    return translated(_TEXTS.get(message, message), language)


def of_validation(error: dict[str, Any]) -> str:
    """Return the key or text for an error that pydantic found."""
    kind: str = error["type"]
    if kind in _TEXTS:
        return kind
    if kind == "value_error":
        reason = str(error.get("ctx", {}).get("error", ""))
        reason = _MAPPINGS.get(reason, reason)
        return reason if reason in _TEXTS else _NOT_VALID
    return next((text for start, text in _FAMILIES if kind.startswith(start)), _NOT_VALID)
