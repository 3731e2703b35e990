"""What notifications say, in English and Spanish."""

from __future__ import annotations

from string import Formatter

from mappings.notifications.languages import DEFAULT, LANGUAGES, Language, choose_language, named_language
from mappings.notifications.notifications import Kind

__all__ = [
    "DEFAULT",
    "LANGUAGES",
    "Language",
    "choose_language",
    "message",
    "named_language",
    "visit_title",
]

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
    "refund_pending": {
        "en": "Your payment for {what} is going to be refunded: {amount}.",
        "es": "Se le va a reembolsar su pago por {what}: {amount}.",
    },
    "refund_completed": {
        "en": "Your payment for {what} has been refunded: {amount}.",
        "es": "Se le ha reembolsado su pago por {what}: {amount}.",
    },
    "general": {"en": "{what}", "es": "{what}"},
}
_OF_MEMBER: dict[Kind, dict[Language, str]] = {
    "appointment_booked": {
        "en": "The appointment of {member} with {doctor} at {clinic} is booked for {when}.",
        "es": "La cita de {member} con {doctor} en {clinic} está reservada para el {when}.",
    },
    "appointment_rescheduled": {
        "en": "The appointment of {member} with {doctor} at {clinic} has been moved to {when}.",
        "es": "La cita de {member} con {doctor} en {clinic} se ha cambiado al {when}.",
    },
    "appointment_canceled": {
        "en": "The appointment of {member} with {doctor} at {clinic} on {when} has been canceled.",
        "es": "La cita de {member} con {doctor} en {clinic} del {when} ha sido cancelada.",
    },
    "appointment_reminder": {
        "en": "Reminder: {member} sees {doctor} at {clinic} on {when}.",
        "es": "Recordatorio: {member} tiene cita con {doctor} en {clinic} el {when}.",
    },
}
"""What is said of a visit that is for somebody of the user's family."""


def message(kind: Kind, language: Language, **facts: str | None) -> str:
    """Return the text of a notification; a fact that is not known is said in general words."""
    texts = _OF_MEMBER if facts.get("member") and kind in _OF_MEMBER else _TEXTS
    text = texts[kind][language]
    said = {
        name: facts.get(name) or _SOMETHING[language].get(name, "") for _, name, _, _ in Formatter().parse(text) if name
    }
    return text.format(**said)


def visit_title(language: Language, *, doctor: str | None, clinic: str | None, member: str | None = None) -> str:
    """Return how a visit is called in a calendar; `member` is of the family, where it is for one."""
    known = _SOMETHING[language]
    visit = {"en": "Visit", "es": "Cita"}[language]
    whose = {"en": " of {member}", "es": " de {member}"}[language].format(member=member) if member else ""
    return f"{visit}{whose}: {doctor or known['doctor']}, {clinic or known['clinic']}"
