"""The mails about accounts: codes that confirm, and notices of what was done or tried."""

from __future__ import annotations

import uuid
from typing import Literal, TypeAlias

import structlog

from fhir_server.auth.accounts import throttle
from fhir_server.auth.accounts.login_names import email_name
from fhir_server.hospital.api.server import FacadeServer
from fhir_server.hospital.gateways.smtp import Mail, MailDelayed, MailRefused
from translations.catalogue import N_, Language, translated

log = structlog.get_logger(__name__)

Text: TypeAlias = Literal["reset", "sign-up", "sign-up-tried", "contact", "contact-asked", "contact-changed"]
_SUBJECTS: dict[Text, str] = {
    "reset": N_("Your new password"),
    "sign-up": N_("Confirm your account"),
    "sign-up-tried": N_("You already have an account"),
    "contact": N_("Confirm your new contact details"),
    "contact-asked": N_("A change of your account was asked for"),
    "contact-changed": N_("Your account was changed"),
}
_TEXTS: dict[Text, str] = {
    "reset": N_(
        "With this code you can choose a new password within 30 minutes:\n\n{secret}\n\nIf you did not ask "
        "for it, ignore this message; nothing has changed."
    ),
    "sign-up": N_(
        "With this code you open your account within 24 hours:\n\n{secret}\n\nIf you did not sign up, ignore "
        "this message; there will be no account."
    ),
    "sign-up-tried": N_(
        "Somebody tried to use this address for an account, but it has one already. If it was you, sign in, "
        "or ask for a new password. If not, ignore this message; nothing has changed."
    ),
    "contact": N_(
        "With this code you confirm the change of your contact details within 24 hours:\n\n{secret}\n\nIf you"
        " did not ask for it, ignore this message; nothing has changed."
    ),
    "contact-asked": N_(
        "Somebody who knows your password asked to change the address of your account. It changes when the "
        "new address confirms it. If it was not you, change your password now; that ends the request."
    ),
    "contact-changed": N_(
        "The contact details that your account signs in with were changed. If it was not you, call the clinic."
    ),
}

_ASKED_BY_ANYBODY: frozenset[Text] = frozenset({"sign-up", "sign-up-tried", "contact"})


async def mail(server: FacadeServer, to: str | None, text: Text, language: Language, secret: str = "") -> None:
    """Send a mail, where there is an address and a mail server; a failure is logged, and nothing else.

    What anybody can have sent to any address is sent there a few times, then ever more seldom; notices to the holder
    of an account always are, or a flood would hide them.
    """
    if to is None or server.send_mail is None:
        return
    if text in _ASKED_BY_ANYBODY and await server.accounts.attempts.begin(throttle.mails(email_name(to))):
        log.warning("account.mails_limited", text=text)
        return
    words = translated(_TEXTS[text], language).format(secret=secret)
    try:
        await server.send_mail(Mail(uuid.uuid4().hex, to, translated(_SUBJECTS[text], language), words, language))
    except (MailDelayed, MailRefused) as error:
        log.warning("account.not_mailed", text=text, kind=type(error).__name__)
