"""What the tests of notifications share: a small hospital, workers that run the job, and what patients were told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from fhir_server.engine.context import Context, Request, Services
from fhir_server.engine.engine import handle
from fhir_server.engine.search.every_match import every_match
from fhir_server.hospital.notifications import job as notifications
from fhir_server.jobs.runner import Runner
from fhir_server.r4 import values
from fhir_server.store.work.jobs import JobStore

BASE = "http://server.test/fhir"
TIMEZONE = "http://hl7.org/fhir/StructureDefinition/timezone"


def moment(days: float = 0) -> str:
    """Return the time in so many days."""
    return (datetime.now(UTC) + timedelta(days=days)).replace(microsecond=0).isoformat()


def patient(patient_id: str = "ana", **more: Any) -> dict[str, Any]:
    """Return a patient who speaks English and lives by UTC."""
    return {"resourceType": "Patient", "id": patient_id, "name": [{"given": ["Ana"], "family": "Ruiz"}], **more}


def spanish(patient_id: str = "ana") -> dict[str, Any]:
    """Return a patient who speaks Spanish and lives in Madrid."""
    language = {"coding": [{"system": "urn:ietf:bcp:47", "code": "es"}]}
    return patient(
        patient_id,
        extension=[{"url": TIMEZONE, "valueCode": "Europe/Madrid"}],
        communication=[{"language": language, "preferred": True}],
    )


def appointment(appointment_id: str = "visit", *, start: str, status: str = "booked", **more: Any) -> dict[str, Any]:
    """Return Ana's appointment with Dr. Luz at the clinic."""
    end = (datetime.fromisoformat(start) + timedelta(minutes=30)).isoformat()
    actors = ("Patient/ana", "Practitioner/luz", "Location/clinic")
    people = [{"actor": {"reference": actor}, "status": "accepted"} for actor in actors]
    return {
        "resourceType": "Appointment",
        "id": appointment_id,
        "status": status,
        "start": start,
        "end": end,
        "participant": people,
        **more,
    }


DOCTOR = {"resourceType": "Practitioner", "id": "luz", "name": [{"prefix": ["Dr."], "given": ["Luz"], "family": "Gil"}]}
CLINIC = {"resourceType": "Location", "id": "clinic", "name": "Clínica Norte"}
SUBJECT = {"reference": "Patient/ana"}


@dataclass(slots=True)
class Hospital:
    """A server without HTTP, with Ana, Dr. Luz and a clinic."""

    services: Services

    async def ask(self, method: str, path: str, resource: Any = None, *, quiet: bool = False) -> dict[str, Any]:
        """Carry out an interaction."""
        answer = await handle(Context(self.services, BASE, quiet=quiet), Request(method, path, resource=resource))
        return values.decode(answer.json) if answer.json else {}

    async def put(self, resource: dict[str, Any], *, quiet: bool = False) -> dict[str, Any]:
        """Store a resource under its id."""
        return await self.ask("PUT", f"{resource['resourceType']}/{resource['id']}", resource, quiet=quiet)

    async def told(self, patient_id: str = "ana") -> list[dict[str, Any]]:
        """Return the Communications to a patient, the oldest first."""
        query = [("recipient", f"Patient/{patient_id}"), ("_sort", "_lastUpdated")]
        return [result async for result in every_match(Context(self.services, BASE), "Communication", query)]

    async def kinds(self, count: int) -> list[str]:
        """Return the kinds of what Ana was told, as soon as there are that many or too long has passed."""
        for _ in range(200):
            items = [item["topic"]["coding"][0]["code"] for item in await self.told()]
            if len(items) >= count:
                return items
            await asyncio.sleep(0.05)
        return items

    async def all_told(self) -> None:
        """Wait until the job has dealt with everything that is stored now: a last event marks the place."""
        marker = {"resourceType": "CarePlan", "id": "marker", "status": "active", "intent": "plan"}
        await self.put(patient("marker"))
        await self.put({**marker, "subject": {"reference": "Patient/marker"}, "title": moment()})
        for _ in range(200):
            if await self.told("marker"):
                return
            await asyncio.sleep(0.05)
        raise AssertionError("the job tells nobody anything")


def worker(services: Services, name: str = "worker") -> Runner:
    """Return a worker that attends to the notifications."""
    return Runner(JobStore(services.database, 1.0), name, [notifications.notifications(services, BASE)], 0.1)


@asynccontextmanager
async def working(services: Services, name: str = "worker") -> AsyncIterator[None]:
    """Let a worker attend to the notifications meanwhile."""
    runner = worker(services, name)
    runner.start()
    try:
        yield
    finally:
        await runner.stop()
