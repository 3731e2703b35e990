"""Lines, views, exports, validation and Subscriptions show staff the patients of the policy, as searches do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from fhir_server.store.database.mongo import Database
from tests.attacks.access.test_exports import finished, resources
from tests.attacks.access.test_staff import PATIENTS, SECRET, SEEN, _about, _hospital, dora, store
from tests.attacks.access.test_views import RUN, view
from tests.smart_server import SmartServer, smart_server
from tests.subscriptions.conftest import created, receiver, subscription, until_status
from tests.subscriptions.receiver import Receiver

__all__ = ["receiver"]

HIDDEN = sorted(set(PATIENTS) - SEEN["clinics"])


@pytest.fixture
async def clinic(database: Database, mongod_url: str, tmp_path: Path) -> AsyncIterator[SmartServer]:
    """Yield a hospital in which staff sees who comes to the clinic, and whose partners live in this network."""
    async with smart_server(
        mongod_url, database.name, tmp_path, staff_sees="clinics", allow_internal_urls=True
    ) as server:
        await store(server, *_hospital())
        await server.add_user("dora", "practitioner", "Practitioner/dora")
        yield server


def hidden_in(text: str) -> list[str]:
    """Return the patients of whom there is a word, and should be none."""
    return [patient for patient in HIDDEN if f"{SECRET}{patient}" in text]


async def test_lines_views_exports_and_validation_show_the_same(clinic: SmartServer) -> None:
    """The records of the patients whom a search shows, and no word of others."""
    doctor = await dora(clinic)
    for url in ("Observation?_format=ndjson", "Patient?_format=ndjson&_revinclude=Observation:subject"):
        lines = await doctor.get(url)
        assert lines.status_code == 200
        assert not hidden_in(lines.text), url
        assert lines.text.count(SECRET) >= len(SEEN["clinics"])
    rows = await doctor.post(RUN, json=view("Observation", "code.text"), headers={"Accept": "application/json"})
    assert {row["key"] for row in rows.json()} == {f"{SECRET}{patient}" for patient in SEEN["clinics"]}
    for url in ("$export?_type=Patient,Observation", "Patient/$export"):
        _, manifest = await finished(doctor, url)
        text = str(await resources(doctor, manifest))
        assert not hidden_in(text), url
        assert all(f"{SECRET}{patient}" in text for patient in SEEN["clinics"]), url
    for patient in HIDDEN:
        for url in (f"Observation/{patient}/$validate", f"Patient/{patient}/$everything"):
            assert (await doctor.get(url)).status_code == 404, url
        assert (await doctor.get("Group/all/$export", headers={"Prefer": "respond-async"})).status_code in (403, 404)


async def _told_of(doctor: httpx.AsyncClient, receiver: Receiver, clinic: SmartServer) -> str:
    """Return the id of the doctor's Subscription, which has been sent an event that its receiver did not take."""
    receiver.answer = lambda _: "503 Busy"
    payload = "application/fhir+json"
    made = await created(doctor, subscription(receiver.url, "Observation", payload=payload))
    for patient in ("strangers", "clinics"):
        await store(clinic, _about("Observation", f"{patient}-2", status="final", code={"text": f"{SECRET}{patient}"})
                    | {"subject": {"reference": f"Patient/{patient}"}})  # fmt: skip
    [first, *_] = await receiver.wait_for(1)
    assert f"{SECRET}clinics".encode() in first.body
    assert not hidden_in(first.body.decode())
    return str(made["id"])


async def test_what_was_matched_is_not_told_once_the_patient_is_nobody_s(
    clinic: SmartServer, receiver: Receiver
) -> None:
    """The doctor has left the clinic between the first attempt and the next: the content is not sent again."""
    doctor = await dora(clinic)
    await _told_of(doctor, receiver, clinic)
    role = _hospital()[5]
    await store(clinic, {**role, "active": False})
    sent = len(receiver.received)
    await store(clinic, _about("Observation", "treated", status="final", code={"text": f"{SECRET}again"}))
    later = (await receiver.wait_for(sent + 2))[sent + 1 :]  # the first may have been on its way
    assert not any(f"{SECRET}clinics".encode() in each.body for each in later)
    assert any(f"{SECRET}again".encode() in each.body for each in later)


async def test_nothing_is_told_to_a_disabled_account(clinic: SmartServer, receiver: Receiver) -> None:
    """Its Subscription ends in an error, and what was waiting is not sent."""
    doctor = await dora(clinic)
    subscription_id = await _told_of(doctor, receiver, clinic)
    user = await clinic.store.users.find_by_name("dora")
    assert user is not None
    await clinic.store.users.change(user.id, disabled=True)
    attempts = len(receiver.received)
    receiver.answer = lambda _: "200 OK"
    lab = clinic.fhir(await clinic.system_token("system/*.cruds"))
    await until_status(lab, subscription_id, "error")
    assert len(receiver.received) <= attempts + 1  # one may have been on its way
