"""Telling events: each becomes one Communication, and a mail where mails are sent, however often it is told."""

from __future__ import annotations

from datetime import datetime

from fhir_server.engine.context import Context, Request, Services
from fhir_server.engine.engine import handle
from fhir_server.engine.search.every_match import every_match
from fhir_server.errors import PreconditionFailed
from fhir_server.hospital.api.references import decoded, relative
from fhir_server.hospital.notifications.events import Event
from fhir_server.hospital.notifications.wording import MappingContext, communication, communication_id, wants_news
from mappings.billing import payments
from mappings.shared import reading
from mappings.shared.elements import Resource


class Teller:
    """Makes Communications of events."""

    def __init__(self, services: Services, base_url: str) -> None:
        self._services = services
        self.base_url = base_url
        self._context = Context(services, base_url)
        self._mails = services.stores.mails if services.settings.smtp_host else None

    async def tell(self, event: Event, at: datetime) -> bool:
        """Tell the event, which happened `at`; returns whether it was new.

        One that was told is not told again, even if its Communication has been deleted since.
        """
        communication_key = communication_id(event)
        stored = await self._services.resources.read("Communication", communication_key)
        if stored is not None:
            return False
        around = await self._surroundings(event)
        if around is None or not wants_news(around.patient) or _is_overtaken(event, around):
            return False
        clock = self._services.settings.default_timezone
        made = communication(event, around, at=at, default_clock=clock)
        if self._mails is not None and reading.contact(around.patient, "email"):
            # First: a crash between the two leaves a mail that waits for what the next attempt makes.
            await self._mails.add(communication_key)
        return await self._store(made)

    async def _store(self, made: Resource) -> bool:
        path = f"Communication/{made['id']}"
        try:
            await handle(self._context, Request("PUT", path, resource=dict(made), if_none_match="*"))
        except PreconditionFailed:
            return False
        return True

    async def _surroundings(self, event: Event) -> MappingContext | None:
        """Return what the message draws on, or None where there is nobody to be told."""
        invoice = await self._read("Invoice", event.related.id) if event.related.type == "Invoice" else None
        patient_id = event.patient_id or reading.reference_id((invoice or {}).get("subject"), "Patient")
        patient = await self._read("Patient", patient_id)
        if patient is None:
            return None
        visit = event.visit
        return MappingContext(
            patient,
            doctor=await self._read("Practitioner", visit.doctor_id) if visit else None,
            clinic=await self._read("Location", visit.clinic_id) if visit else None,
            invoice=invoice,
            medication=await self._named(event.what_reference),
            member=await self._member(visit.member_id, patient["id"]) if visit else None,
            payment=await self._payment(invoice) if invoice else None,
        )

    async def _member(self, member_id: str | None, patient_id: str) -> Resource | None:
        """Return the patient's family member; nobody else's name is told."""
        person = await self._read("RelatedPerson", member_id)
        return person if reading.reference_id((person or {}).get("patient"), "Patient") == patient_id else None

    async def _payment(self, invoice: Resource) -> Resource | None:
        key = [("identifier", payments.attempts_key(invoice["id"]))]
        attempts = every_match(self._context, "PaymentReconciliation", key)
        return payments.counting([relative(item, self.base_url) async for item in attempts])

    async def _named(self, reference: str | None) -> Resource | None:
        place = reading.typed_reference({"reference": reference}) if reference else None
        return await self._read(*place) if place else None

    async def _read(self, resource_type: str, resource_id: str | None) -> Resource | None:
        if resource_id is None:
            return None
        version = await self._services.resources.read(resource_type, resource_id)
        if version is None or version.deleted:
            return None
        return decoded(version.json, self.base_url)


def _is_overtaken(event: Event, around: MappingContext) -> bool:
    """Return whether a refund that was due has been made since, of which the patient is told instead."""
    made = reading.extension(around.invoice or {}, "refund-status") == "completed"
    return event.kind == "refund_pending" and made
