"""DELETE /user/profile: what is left of a person in the whole database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from fhir_server.engine.gdpr.erasure import erase_patient
from fhir_server.jobs.erasures import erasures
from fhir_server.store.resources.erasure import Eraser
from fhir_server.store.work.erasures import ErasureStore
from fhir_server.store.work.jobs import JobStore
from tests.facade.clinic import booking_of
from tests.facade_server import PASSWORD
from tests.gdpr.conftest import SECRETS, Story

KEEPS_THE_ID = {"AuditEvent", "AuditEvent_history", "server_erasures"}


async def leave(story: Story) -> None:
    await story.mara.ask("DELETE", "/user/profile", {"password": PASSWORD}, status=204)


async def assert_erased(story: Story) -> None:
    """No collection tells of the patient any more; the id is in the audit trail and the record of erasures only."""
    for name, documents in (await story.everything()).items():
        text = "\n".join(documents)
        # Kept answers to an Idempotency-Key expire by themselves within a day; here there are none.
        assert not [secret for secret in SECRETS if secret in text], name
        assert name in KEEPS_THE_ID or story.mara.id not in text, name


async def test_nothing_is_left_in_any_version(story: Story) -> None:
    """Every version of everything is gone: resources, history, deleted ones, files, accounts, names, tokens."""
    before = "\n".join(text for documents in (await story.everything()).values() for text in documents)
    assert all(secret in before for secret in SECRETS)
    await leave(story)
    await assert_erased(story)


async def test_what_the_law_keeps_stays_without_the_person(story: Story) -> None:
    """The invoice and its payment still say what was owed and paid; the audit trail says who was looked at."""
    before = await story.hospital.fhir("GET", "Invoice")
    await leave(story)
    (entry,) = (await story.hospital.fhir("GET", "Invoice"))["entry"]
    invoice, earlier = entry["resource"], before["entry"][0]["resource"]
    assert invoice["subject"] == invoice["recipient"] == {"display": "Erased"}
    assert {name: invoice[name] for name in ("date", "totalGross", "status")} == {
        name: earlier[name] for name in ("date", "totalGross", "status")
    }
    history = await story.hospital.fhir("GET", f"Invoice/{invoice['id']}/_history")
    assert len(history["entry"]) == 1
    payment = await story.hospital.fhir("GET", f"PaymentReconciliation/{invoice['id']}")
    assert payment["paymentAmount"] == invoice["totalGross"]
    assert (await story.hospital.fhir("GET", "AuditEvent/seen"))["entity"][0]["what"]["reference"].startswith(
        "Patient/"
    )


async def test_what_is_anothers_stays(story: Story) -> None:
    """Another patient's data is as it was; where both are named only the erased one is taken out."""
    before = await story.hospital.fhir("GET", "Observation/noors")
    await leave(story)
    assert await story.hospital.fhir("GET", "Observation/noors") == before
    assert (await story.noor.ask("GET", "/user/profile"))["first_name"] == "Noor"
    members = (await story.hospital.fhir("GET", "Group/g"))["member"]
    assert [member["entity"] for member in members] == [
        {"display": "Erased"},
        {"reference": f"Patient/{story.noor.id}"},
    ]
    assert (await story.hospital.fhir("GET", "Patient/twin"))["link"][0]["other"] == {"display": "Erased"}
    assert (await story.hospital.fhir("GET", "Observation/moved"))["subject"]["reference"].endswith(story.noor.id)


async def test_the_account_is_dead_at_once(story: Story) -> None:
    """The access token, the refresh token and the password open nothing; the address is free for a new account."""
    await leave(story)
    await story.mara.refused("invalid_token", "GET", "/user/profile")
    await story.mara.refused(
        "invalid_token", "POST", "/user/token/refresh", {"refresh_token": story.mara.session["refresh_token"]}
    )
    login = {"username": "maravilla@example.org", "password": PASSWORD}
    await story.hospital.visitor().refused("invalid_credentials", "POST", "/user/login", login)
    assert (await story.hospital.sign_up("maravilla")).id != story.mara.id


async def test_a_booked_time_is_free_again(story: Story) -> None:
    """What the erased one had booked another can book."""
    await leave(story)
    body = booking_of("09:30")
    assert (await story.noor.ask("POST", "/booking/appointments", body, status=201))["status"] == "scheduled"


async def test_a_wrong_password_erases_nothing(story: Story) -> None:
    """A token alone is not enough."""
    await story.mara.refused("invalid_credentials", "DELETE", "/user/profile", {"password": "not this one"})
    assert (await story.mara.ask("GET", "/user/profile"))["first_name"] == "Maravilla"
    assert await story.database.raw["server_erasures"].count_documents({}) == 0


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("survives", range(0, 12, 2))
async def test_an_erasure_that_was_killed_is_finished_by_the_job(
    story: Story, survives: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it is broken off the account is dead, and the job takes the rest."""
    calls = 0

    def dying(method: Any) -> Any:
        async def called(self: Any, *arguments: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls > survives:
                raise Killed
            return await method(self, *arguments)

        return called

    with monkeypatch.context() as patch:
        for owner, name in ((Eraser, "erase"), (Eraser, "erase_earlier"), (ErasureStore, "save")):
            patch.setattr(owner, name, dying(getattr(owner, name)))
        with pytest.raises(Killed):
            await erase_patient(story.hospital.services, "http://server.test/fhir", story.mara.id)
    await story.mara.refused("invalid_token", "GET", "/user/profile")
    assert await ErasureStore(story.database).unfinished() == [story.mara.id]
    await look_after(story)
    await assert_erased(story)
    assert await ErasureStore(story.database).unfinished() == []


async def look_after(story: Story) -> None:
    job = erasures(story.hospital.services, "http://server.test/fhir")
    lease = await JobStore(story.database).acquire("test", "test")
    assert lease is not None
    await job.run(lease)


async def test_what_comes_late_is_erased_too(story: Story) -> None:
    """What a vendor writes about the erased one just afterwards, the job removes."""
    await leave(story)
    late: Mapping[str, Any] = {
        "resourceType": "Observation",
        "id": "late",
        "status": "final",
        "code": {"text": "Privatissimo"},
        "subject": {"reference": f"Patient/{story.mara.id}"},
    }
    await story.hospital.put(dict(late))
    await look_after(story)
    await assert_erased(story)
