"""The job that reminds patients of their appointments, a day before."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

from fhir_server.engine.context import Context, Services, instant, now
from fhir_server.engine.search.every_match import every_match
from fhir_server.hospital.api.references import relative
from fhir_server.hospital.notifications.events import reminder
from fhir_server.hospital.notifications.sender import Teller
from fhir_server.jobs.runner import Job
from fhir_server.store.work.jobs import Lease
from fhir_server.work.items import set_aside
from mappings.shared import reading
from mappings.shared.elements import Resource

EVERY_SECONDS = 300.0
AHEAD = timedelta(hours=24)
JUST_BOOKED = timedelta(hours=12)
"""Who books a visit this shortly before it needs no reminder."""


def reminders(services: Services, base_url: str) -> Job:
    """Return the job."""
    return Job("reminders", partial(_run, services, base_url), EVERY_SECONDS)


async def _run(services: Services, base_url: str, lease: Lease) -> None:
    at = now()
    sent = await remind(services, base_url, at)
    await lease.save({"at": at, "sent": sent})


async def remind(services: Services, base_url: str, at: datetime) -> int:
    """Remind of the visits within a day of `at` and return how many reminders were new."""
    teller, sent = Teller(services, base_url), 0
    ahead = [("status", "booked"), ("date", f"gt{instant(at)}"), ("date", f"le{instant(at + AHEAD)}")]
    async for appointment in every_match(Context(services, base_url), "Appointment", ahead):
        with set_aside("reminder.failed"):
            event = reminder(relative(appointment, base_url))
            if event is not None and not _just_booked(appointment):
                sent += await teller.tell(event, at)
    return sent


def _just_booked(appointment: Resource) -> bool:
    start, written = (reading.moment(text) for text in (appointment.get("start"), appointment["meta"]["lastUpdated"]))
    return start is not None and written is not None and written > start - JUST_BOOKED
