"""Sending mail by SMTP. https://www.rfc-editor.org/rfc/rfc5321"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate
from typing import TYPE_CHECKING

from fhir_server.settings import Settings

if TYPE_CHECKING:
    import smtplib

_SECONDS = 20.0


class MailDelayed(Exception):
    """The mail server does not take mail now; a later attempt may succeed."""


class MailRefused(Exception):
    """The mail server will not take this mail, however often it is sent."""


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail; the same `id` again is the same mail, which a mailbox shows once."""

    id: str
    to: str
    subject: str
    text: str
    language: str


class SmtpServer:
    """A mail server that takes our mails."""

    def __init__(self, settings: Settings) -> None:
        assert settings.smtp_host is not None, "mail is sent only where a server is set"
        self._host, self._port, self._security = settings.smtp_host, settings.smtp_port, settings.smtp_security
        self._user, self._password, self._from = settings.smtp_user, settings.smtp_password, settings.smtp_from

    async def send(self, mail: Mail) -> None:
        """Send the mail; raises MailDelayed or MailRefused."""
        await asyncio.to_thread(self._send, mail)

    def _send(self, mail: Mail) -> None:
        import smtplib  # large, and of use only to a server that mails

        try:
            message = self._message(mail)
        except ValueError as error:  # an address that is none
            raise MailRefused from error
        try:
            connection = self._connection()
            try:
                connection.send_message(message)
            finally:
                with suppress(smtplib.SMTPException, OSError):
                    connection.quit()  # what the server says to that changes nothing for the mail it has taken
        except smtplib.SMTPRecipientsRefused as error:
            permanent = all(code >= 500 for code, _ in error.recipients.values())
            raise (MailRefused if permanent else MailDelayed) from error
        except smtplib.SMTPDataError as error:
            raise (MailRefused if error.smtp_code >= 500 else MailDelayed) from error
        except smtplib.SMTPNotSupportedError as error:
            raise MailRefused from error
        except (smtplib.SMTPException, OSError) as error:
            raise MailDelayed from error

    def _connection(self) -> smtplib.SMTP:
        import smtplib

        if self._security == "tls":
            connection: smtplib.SMTP = smtplib.SMTP_SSL(
                self._host, self._port, timeout=_SECONDS, context=ssl.create_default_context()
            )
        else:
            connection = smtplib.SMTP(self._host, self._port, timeout=_SECONDS)
        try:
            if self._security == "starttls":
                connection.starttls(context=ssl.create_default_context())
            if self._user is not None:
                connection.login(self._user, self._password or "")
        except BaseException:
            connection.close()
            raise
        return connection

    def _message(self, mail: Mail) -> EmailMessage:
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = self._from, mail.to, mail.subject
        message["Date"] = formatdate()
        message["Message-ID"] = f"<{mail.id}@{self._from.rpartition('@')[2] or 'localhost'}>"
        # A machine wrote it, so no machine should answer it. https://www.rfc-editor.org/rfc/rfc3834
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(mail.text + "\n")
        message["Content-Language"] = mail.language
        return message
