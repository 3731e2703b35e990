"""The mails about accounts: codes that confirm, and notices of what was done or tried."""

from __future__ import annotations

import uuid
from typing import Literal, TypeAlias

import structlog

from fhir_server.auth.accounts import throttle
from fhir_server.auth.accounts.login_names import email_name
from fhir_server.hospital.api.server import FacadeServer
from fhir_server.hospital.gateways.smtp import Mail, MailDelayed, MailRefused
from mappings.notifications.messages import Language

log = structlog.get_logger(__name__)

Text: TypeAlias = Literal["reset", "sign-up", "sign-up-tried", "contact", "contact-asked", "contact-changed"]
_SUBJECTS: dict[Text, dict[Language, str]] = {
    "reset": {"en": "Your new password", "es": "Su nueva contraseña"},
    "sign-up": {"en": "Confirm your account", "es": "Confirme su cuenta"},
    "sign-up-tried": {"en": "You already have an account", "es": "Usted ya tiene una cuenta"},
    "contact": {"en": "Confirm your new contact details", "es": "Confirme sus nuevos datos de contacto"},
    "contact-asked": {"en": "A change of your account was asked for", "es": "Se ha pedido un cambio de su cuenta"},
    "contact-changed": {"en": "Your account was changed", "es": "Su cuenta ha cambiado"},
}
_TEXTS: dict[Text, dict[Language, str]] = {
    "reset": {
        "en": "With this code you can choose a new password within 30 minutes:\n\n{secret}\n\n"
        "If you did not ask for it, ignore this message; nothing has changed.",
        "es": "Con este código puede elegir una nueva contraseña durante 30 minutos:\n\n{secret}\n\n"
        "Si no lo ha pedido, ignore este mensaje; nada ha cambiado.",
    },
    "sign-up": {
        "en": "With this code you open your account within 24 hours:\n\n{secret}\n\n"
        "If you did not sign up, ignore this message; there will be no account.",
        "es": "Con este código abre su cuenta durante 24 horas:\n\n{secret}\n\n"
        "Si no se ha registrado, ignore este mensaje; no habrá ninguna cuenta.",
    },
    "sign-up-tried": {
        "en": "Somebody tried to use this address for an account, but it has one already. If it was you, sign in, or "
        "ask for a new password. If not, ignore this message; nothing has changed.",
        "es": "Alguien ha intentado usar esta dirección para una cuenta, pero ya tiene una. Si ha sido usted, inicie "
        "sesión o pida una nueva contraseña. Si no, ignore este mensaje; nada ha cambiado.",
    },
    "contact": {
        "en": "With this code you confirm the change of your contact details within 24 hours:\n\n{secret}\n\n"
        "If you did not ask for it, ignore this message; nothing has changed.",
        "es": "Con este código confirma el cambio de sus datos de contacto durante 24 horas:\n\n{secret}\n\n"
        "Si no lo ha pedido, ignore este mensaje; nada ha cambiado.",
    },
    "contact-asked": {
        "en": "Somebody who knows your password asked to change the address of your account. It changes when the new "
        "address confirms it. If it was not you, change your password now; that ends the request.",
        "es": "Alguien que conoce su contraseña ha pedido cambiar la dirección de su cuenta. Cambiará cuando la nueva "
        "dirección lo confirme. Si no ha sido usted, cambie su contraseña ahora; eso anula la petición.",
    },
    "contact-changed": {
        "en": "The contact details that your account signs in with were changed. If it was not you, call the clinic.",
        "es": "Han cambiado los datos de contacto con los que inicia sesión. Si no ha sido usted, llame a la clínica.",
    },
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
    words = _TEXTS[text][language].format(secret=secret)
    try:
        await server.send_mail(Mail(uuid.uuid4().hex, to, _SUBJECTS[text][language], words, language))
    except (MailDelayed, MailRefused) as error:
        log.warning("account.not_mailed", text=text, kind=type(error).__name__)
