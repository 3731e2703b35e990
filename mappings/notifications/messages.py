"""What notifications say."""

from __future__ import annotations

from string import Formatter

from mappings.notifications.notifications import Kind
from translations.catalogue import N_, Language, translated

_SOMETHING: dict[str, str] = {
    "doctor": N_("your doctor"),
    "clinic": N_("the clinic"),
    "what": N_("your visit"),
    "when": N_("a time to be confirmed"),
    "amount": N_("the amount due"),
}
_TEXTS: dict[Kind, str] = {
    "appointment_booked": N_("Your appointment with {doctor} at {clinic} is booked for {when}."),
    "appointment_rescheduled": N_("Your appointment with {doctor} at {clinic} has been moved to {when}."),
    "appointment_canceled": N_("Your appointment with {doctor} at {clinic} on {when} has been canceled."),
    "appointment_reminder": N_("Reminder: you see {doctor} at {clinic} on {when}."),
    "result_ready": N_("A result is ready: {what}."),
    "prescription_added": N_("A medicine has been prescribed for you: {what}."),
    "treatment_plan_added": N_("A treatment plan has been made for you: {what}."),
    "document_added": N_("A document has been added to your record: {what}."),
    "payment_completed": N_("We have received your payment of {amount} for {what}."),
    "payment_failed": N_("Your payment of {amount} for {what} did not go through. Nothing was charged."),
    "refund_pending": N_("Your payment for {what} is going to be refunded: {amount}."),
    "refund_completed": N_("Your payment for {what} has been refunded: {amount}."),
    "general": "{what}",
}
_OF_MEMBER: dict[Kind, str] = {
    "appointment_booked": N_("The appointment of {member} with {doctor} at {clinic} is booked for {when}."),
    "appointment_rescheduled": N_("The appointment of {member} with {doctor} at {clinic} has been moved to {when}."),
    "appointment_canceled": N_("The appointment of {member} with {doctor} at {clinic} on {when} has been canceled."),
    "appointment_reminder": N_("Reminder: {member} sees {doctor} at {clinic} on {when}."),
}
"""What is said of a visit that is for somebody of the user's family."""


def message(kind: Kind, language: Language, **facts: str | None) -> str:
    """Return the text of a notification; a fact that is not known is said in general words."""
    texts = _OF_MEMBER if facts.get("member") and kind in _OF_MEMBER else _TEXTS
    text = translated(texts[kind], language)
    names = [name for _, name, _, _ in Formatter().parse(text) if name]
    return text.format(**{name: facts.get(name) or translated(_SOMETHING.get(name, ""), language) for name in names})


def visit_title(language: Language, *, doctor: str | None, clinic: str | None, member: str | None = None) -> str:
    """Return how a visit is called in a calendar; `member` is of the family, where it is for one."""
    text = N_("Visit of {member}: {doctor}, {clinic}") if member else N_("Visit: {doctor}, {clinic}")
    return translated(text, language).format(
        member=member,
        doctor=doctor or translated(_SOMETHING["doctor"], language),
        clinic=clinic or translated(_SOMETHING["clinic"], language),
    )
