"""Erasing a person: accounts and tokens at once, then every version of all that is the person's.

What is to go is written down before any of it goes, so that an erasure that is killed can be taken up again: each step
can be done twice. What stays, and why: accounting records without the person, and the audit trail.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from fhir_server.engine.context import Context, Request, Services, now
from fhir_server.engine.engine import handle
from fhir_server.engine.gdpr.anonymity import anonymised, without_text
from fhir_server.engine.gdpr.belonging import RETAINED, Belonging, belonging, own_condition
from fhir_server.engine.interactions.preconditions import etag
from fhir_server.engine.subscriptions.erasing import erase_subscriptions
from fhir_server.errors import Conflict, PreconditionFailed
from fhir_server.r4 import values
from fhir_server.search.query.conditions import HasId, HasKey
from fhir_server.store.resources.erasure import Eraser
from fhir_server.store.work.erasures import Erasure

_ROUNDS = 10
_ATTEMPTS = 10
_EXPECTED = frozenset({"proposed", "pending", "booked", "waitlist"})


async def erase_patient(services: Services, base_url: str, patient: str) -> Erasure:
    """Erase all that is the patient's and return what was done; may be repeated, and goes on where it was broken off.

    When it returns the accounts are gone, no token of theirs works on any worker, and nothing is left in any version.
    Raises Conflict where others keep writing what is to be erased.
    """
    return await _Erasing(services, base_url, patient).run()


class _Erasing:
    """An erasure in progress."""

    def __init__(self, services: Services, base_url: str, patient: str) -> None:
        self._services = services
        self._context = Context(services, base_url, quiet=True)
        self._patient = patient
        self._record = services.stores.erasures
        self._eraser = Eraser(services.resources)
        self._counts: Counter[str] = Counter()

    async def run(self) -> Erasure:
        erasure = await self._record.begin(self._patient)
        self._counts.update(erasure.counts)
        await close_account(self._services, f"Patient/{self._patient}")
        erasure = await self._carried_out(erasure)
        for _ in range(_ROUNDS):
            belongings = await self._belongings()
            if not belongings:
                return await self._finished(erasure)
            await self._give_up_visits(belongings)
            planned = replace(erasure, erase=tuple(sorted(belongings.own)), anonymise=tuple(sorted(belongings.others)))
            await self._record.save(planned)
            erasure = await self._carried_out(planned)
        raise Conflict("Others keep writing what is to be erased.")

    async def _belongings(self) -> Belonging:
        types = await self._services.search.types()
        belongings = await belonging(self._services, self._context.base_url, self._patient, types)
        anonymous = {
            reference for reference in belongings.others if await self._anonymous(reference, belongings.own) is None
        }
        return Belonging(belongings.own, belongings.others - anonymous)

    async def _carried_out(self, erasure: Erasure) -> Erasure:
        """Return the erasure after all that was planned is done."""
        gone = {*erasure.erase, f"Patient/{self._patient}"}
        for reference in erasure.anonymise:
            await self._anonymise(reference, gone)
        for reference in erasure.erase:
            if reference.startswith("RelatedPerson/"):
                await close_account(self._services, reference)
        await self._erase(erasure.erase)
        done = replace(erasure, erase=(), anonymise=(), counts=dict(self._counts))
        await self._record.save(done)
        return done

    async def _erase(self, references: Iterable[str]) -> None:
        by_type: defaultdict[str, list[str]] = defaultdict(list)
        for reference in references:
            resource_type, _, resource_id = reference.partition("/")
            by_type[resource_type].append(resource_id)
        # The patient goes last: as long as there is anything, there is somebody whose it is.
        for resource_type in sorted(by_type, key=lambda name: name == "Patient"):
            ids = by_type[resource_type]
            await self._eraser.erase(resource_type, ids)
            await self._services.stores.imports.forget([f"{resource_type}/{each}" for each in ids])
            self._counts[resource_type] += len(ids)

    async def _finished(self, erasure: Erasure) -> Erasure:
        # What belongs to somebody else by now may have been this patient's once.
        for resource_type in await self._services.search.types():
            condition = own_condition(resource_type, self._patient)
            if condition is not None:
                await self._eraser.erase_earlier(resource_type, condition)
        await self._services.stores.exports.withdraw()
        await self._services.stores.bulk_imports.withdraw()
        await self._services.stores.async_requests.withdraw()
        done = replace(erasure, finished=now(), counts=dict(self._counts))
        await self._record.save(done)
        if self._services.keys is not None:
            await self._services.keys.note_erasure()
        return done

    async def _anonymise(self, reference: str, gone: set[str]) -> None:
        """Replace the resource by one that names nobody of those, and remove the versions that did."""
        resource_type, _, resource_id = reference.partition("/")
        for _ in range(_ATTEMPTS):
            changed = await self._anonymous(reference, gone)
            if changed is None:
                break
            match = etag(int(changed["meta"]["versionId"]))
            try:
                await handle(self._context, Request("PUT", reference, resource=changed, if_match=match))
            except PreconditionFailed:
                continue
            self._counts[f"{resource_type} (anonymised)"] += 1
        await self._eraser.erase_earlier(resource_type, HasId((resource_id,)))

    async def _anonymous(self, reference: str, gone: Iterable[str]) -> dict[str, Any] | None:
        """Return the resource as it is to be, or None where it is so already, or is not there."""
        resource_type, _, resource_id = reference.partition("/")
        version = await self._services.resources.read(resource_type, resource_id)
        if version is None or version.deleted:
            return None
        resource = values.decode(version.json)
        everybody = frozenset({*gone, f"Patient/{self._patient}"})
        changed = anonymised(resource, everybody, self._context.base_url)
        if resource_type in RETAINED:
            changed = without_text(changed)
        return None if changed == resource else changed

    async def _give_up_visits(self, belongings: Belonging) -> None:
        """Cancel what is booked, so that others can have the time."""
        for reference in sorted(belongings.own):
            for _ in range(_ATTEMPTS if reference.startswith("Appointment/") else 0):
                try:
                    await self._give_up(reference)
                except PreconditionFailed:
                    continue
                break

    async def _give_up(self, reference: str) -> None:
        # In one transaction: a slot is freed only together with the appointment that holds it, or one that another
        # has booked since would be freed when an erasure is taken up again.
        version = await self._services.resources.read("Appointment", reference.partition("/")[2])
        if version is None or version.deleted:
            return
        appointment = values.decode(version.json)
        if appointment["status"] not in _EXPECTED:
            return
        entries = [{"request": {"method": "DELETE", "url": reference, "ifMatch": etag(version.version)}}]
        slots = sorted(link for link in version.links if link.startswith("Slot/"))
        entries += [entry for slot in slots if (entry := await self._freed(slot, version.id)) is not None]
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        await handle(self._context, Request("POST", "", resource=bundle))

    async def _freed(self, reference: str, appointment_id: str) -> dict[str, Any] | None:
        """Return the entry that frees a slot; None where it is gone, or another appointment that stands has it."""
        version = await self._services.resources.read("Slot", reference.partition("/")[2])
        if version is None or version.deleted:
            return None
        for holder in await self._eraser.current("Appointment", HasKey((f"slot={reference}",))):
            stands = values.decode(holder.json)["status"] in _EXPECTED
            if stands and holder.id != appointment_id and reference in holder.links:
                return None
        slot = {**values.decode(version.json), "status": "free"}
        return {
            "resource": slot,
            "request": {"method": "PUT", "url": reference, "ifMatch": etag(version.version)},
        }


async def close_account(services: Services, fhir_user: str) -> None:
    """End all that the user holds, on every worker, and remove the account with its names, where there is one."""
    stores = services.stores
    user = await stores.users.find_by_fhir_user(fhir_user)
    while user is not None:
        await stores.users.change(user.id, disabled=True)
        await stores.sessions.end_all(user.id)
        await stores.grants.revoke_user(user.id)
        await erase_subscriptions(services, user.id)
        await stores.grants.forget(user.id)
        await stores.password_resets.forget(user.id)
        await stores.confirmations.forget(user.id)
        await stores.login_names.forget(user.id)
        user = await stores.users.find_by_fhir_user(fhir_user)
