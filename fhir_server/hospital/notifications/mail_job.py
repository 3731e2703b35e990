"""The job that mails notifications, where a mail server is set: each until it is taken, refused, or tried too often."""

from __future__ import annotations

import asyncio
from functools import partial

import structlog

from fhir_server.engine.context import Services
from fhir_server.errors import Unavailable
from fhir_server.hospital.api.references import decoded
from fhir_server.hospital.gateways.smtp import Mail, MailDelayed, MailRefused, SmtpServer
from fhir_server.jobs.runner import Job
from fhir_server.store.work.jobs import Lease
from fhir_server.store.work.mail_queue import MailQueue, Waiting
from fhir_server.work.budget import Budget, working
from fhir_server.work.items import ITEM_SECONDS
from mappings.notifications import notifications
from mappings.shared import reading
from mappings.shared.elements import Resource
from translations.catalogue import N_, translated
from translations.negotiation import choose_language

LOOK_SECONDS = 2.0
_SUBJECT = N_("A message from your clinic")

log = structlog.get_logger(__name__)


def mail(services: Services, base_url: str) -> Job:
    """Return the job; it runs for ever."""
    return Job("mail", partial(_run, services, base_url), 0.0)


async def _run(services: Services, base_url: str, lease: Lease) -> None:
    queue, server = services.stores.mails, SmtpServer(services.settings)
    await queue.prepare()
    while True:
        try:
            sent = await send_due(services, base_url, queue, server)
        except Unavailable:
            sent = 0
        if not sent:
            await asyncio.sleep(LOOK_SECONDS)


async def send_due(services: Services, base_url: str, queue: MailQueue, server: SmtpServer) -> int:
    """Send the mails that are due, and return how many there were."""
    due = await queue.due()
    for waiting in due:
        try:
            with working(Budget(ITEM_SECONDS, caller="mail")):
                await _send(services, base_url, queue, server, waiting)
        except (MailDelayed, _NotYet) as error:
            again = await queue.failed(waiting)
            log.warning("mail.delayed" if again else "mail.given_up", kind=type(error.__cause__ or error).__name__)
        except MailRefused:
            await queue.done(waiting)
            log.warning("mail.refused")
        except Unavailable:
            raise
        except Exception as error:
            # What cannot be made into a mail must not keep all others from being sent.
            again = await queue.failed(waiting)
            log.error("mail.failed" if again else "mail.given_up", kind=type(error).__name__)
    return len(due)


class _NotYet(Exception):
    """The Communication is not there, maybe not yet."""


async def _send(services: Services, base_url: str, queue: MailQueue, server: SmtpServer, waiting: Waiting) -> None:
    communication = await _read(services, base_url, "Communication", waiting.communication_id)
    if communication is None:
        raise _NotYet
    row = notifications.from_fhir(communication)
    patient = await _read(services, base_url, "Patient", row.user_id)
    address = reading.contact(patient, "email") if patient else None
    if address and row.message:
        language = choose_language(None, communication.get("language"))
        await server.send(Mail(row.id, address, translated(_SUBJECT, language), row.message, language))
    await queue.done(waiting)


async def _read(services: Services, base_url: str, resource_type: str, resource_id: str | None) -> Resource | None:
    version = await services.resources.read(resource_type, resource_id) if resource_id else None
    if version is None or version.deleted:
        return None
    return decoded(version.json, base_url)
