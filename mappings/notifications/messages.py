"""What notifications say, in English and Spanish, with times on the user's clock."""

from __future__ import annotations

from datetime import datetime
from string import Formatter
from typing import Literal, get_args
from zoneinfo import ZoneInfo

from mappings.notifications.notifications import Kind

Language = Literal["en", "es"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
DEFAULT: Language = "en"

_WEEKDAYS: dict[Language, tuple[str, ...]] = {
    "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "es": ("lunes", "martes", "miércoles", "jueves", "viernes", "sábado", "domingo"),
}
_MONTHS: dict[Language, tuple[str, ...]] = {
    "en": (
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ),
    "es": (
        "enero",
        "febrero",
        "marzo",
        "abril",
        "mayo",
        "junio",
        "julio",
        "agosto",
        "septiembre",
        "octubre",
        "noviembre",
        "diciembre",
    ),
}
_MOMENT: dict[Language, str] = {
    "en": "{weekday} {day} {month} {year} at {time}",
    "es": "{weekday} {day} de {month} de {year} a las {time}",
}
_SOMETHING: dict[Language, dict[str, str]] = {
    "en": {
        "doctor": "your doctor",
        "clinic": "the clinic",
        "what": "your visit",
        "when": "a time to be confirmed",
        "amount": "the amount due",
    },
    "es": {
        "doctor": "su médico",
        "clinic": "la clínica",
        "what": "su visita",
        "when": "una hora por confirmar",
        "amount": "el importe debido",
    },
}
_TEXTS: dict[Kind, dict[Language, str]] = {
    "appointment_booked": {
        "en": "Your appointment with {doctor} at {clinic} is booked for {when}.",
        "es": "Su cita con {doctor} en {clinic} está reservada para el {when}.",
    },
    "appointment_rescheduled": {
        "en": "Your appointment with {doctor} at {clinic} has been moved to {when}.",
        "es": "Su cita con {doctor} en {clinic} se ha cambiado al {when}.",
    },
    "appointment_canceled": {
        "en": "Your appointment with {doctor} at {clinic} on {when} has been canceled.",
        "es": "Su cita con {doctor} en {clinic} del {when} ha sido cancelada.",
    },
    "appointment_reminder": {
        "en": "Reminder: you see {doctor} at {clinic} on {when}.",
        "es": "Recordatorio: tiene cita con {doctor} en {clinic} el {when}.",
    },
    "result_ready": {
        "en": "A result is ready: {what}.",
        "es": "Hay un resultado disponible: {what}.",
    },
    "prescription_added": {
        "en": "A medicine has been prescribed for you: {what}.",
        "es": "Se le ha recetado un medicamento: {what}.",
    },
    "treatment_plan_added": {
        "en": "A treatment plan has been made for you: {what}.",
        "es": "Se ha preparado un plan de tratamiento para usted: {what}.",
    },
    "document_added": {
        "en": "A document has been added to your record: {what}.",
        "es": "Se ha añadido un documento a su historial: {what}.",
    },
    "payment_completed": {
        "en": "We have received your payment of {amount} for {what}.",
        "es": "Hemos recibido su pago de {amount} por {what}.",
    },
    "payment_failed": {
        "en": "Your payment of {amount} for {what} did not go through. Nothing was charged.",
        "es": "Su pago de {amount} por {what} no se ha podido realizar. No se ha cobrado nada.",
    },
    "general": {"en": "{what}", "es": "{what}"},
}


def message(kind: Kind, language: Language, **facts: str | None) -> str:
    """Return the text of a notification; a fact that is not known is said in general words."""
    text = _TEXTS[kind][language]
    said = {
        name: facts.get(name) or _SOMETHING[language].get(name, "") for _, name, _, _ in Formatter().parse(text) if name
    }
    return text.format(**said)


def when(moment: datetime, clock: ZoneInfo, language: Language) -> str:
    """Return a moment as a person reads it off the clock and the calendar on the wall."""
    local = moment.astimezone(clock)
    return _MOMENT[language].format(
        weekday=_WEEKDAYS[language][local.weekday()],
        day=local.day,
        month=_MONTHS[language][local.month - 1],
        year=local.year,
        time=f"{local:%H:%M}",
    )


def choose_language(accept_language: str | None, own: str | None = None) -> Language:
    """Return the language to speak: the best one that Accept-Language names, else the user's own, else English.

    https://www.rfc-editor.org/rfc/rfc9110#field.accept-language
    """
    return named_language(accept_language) or _spoken(own or "") or DEFAULT


def named_language(accept_language: str | None) -> Language | None:
    """Return the best of the languages that Accept-Language names and the server speaks, or None."""
    wanted = [_range(item) for item in (accept_language or "").split(",") if item.strip()]
    ranked = sorted((item for item in wanted if item[1] > 0), key=lambda item: -item[1])
    return next(filter(None, (_spoken(tag) for tag, _ in ranked)), None)


def _spoken(tag: str) -> Language | None:
    return next((language for language in LANGUAGES if tag.lower().partition("-")[0] == language), None)


def _range(item: str) -> tuple[str, float]:
    tag, _, weight = item.partition(";")
    name, _, value = weight.strip().partition("=")
    try:
        return tag.strip(), float(value) if name.strip() == "q" else 1.0
    except ValueError:
        return tag.strip(), 0.0


def visit_title(language: Language, *, doctor: str | None, clinic: str | None) -> str:
    """Return how a visit is called in a calendar."""
    known = _SOMETHING[language]
    said = {"en": "Visit: {doctor}, {clinic}", "es": "Cita: {doctor}, {clinic}"}[language]
    return said.format(doctor=doctor or known["doctor"], clinic=clinic or known["clinic"])
