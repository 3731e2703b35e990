"""Mailing notifications: once, in the patient's language, again where the server cannot, and not without one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fhir_server.hospital.billing.card.sandbox import SandboxGateway
from fhir_server.hospital.gateways.smtp import SmtpServer
from fhir_server.hospital.notifications import mail_job
from fhir_server.hospital.notifications.events import reminder
from fhir_server.hospital.notifications.mail_job import send_due
from fhir_server.hospital.notifications.sender import Teller
from fhir_server.server.background import jobs
from fhir_server.services import services_on
from fhir_server.settings import Settings
from fhir_server.store.database.mongo import Database
from fhir_server.store.work.mail_queue import PAUSES, MailQueue
from tests.notifications.mail_server import MailServer, mail_server
from tests.notifications.told import BASE, CLINIC, DOCTOR, Hospital, appointment, moment, patient, spanish

ADDRESS = {"telecom": [{"system": "email", "value": "ana@example.org"}]}


class Post:
    """A hospital that mails."""

    def __init__(self, hospital: Hospital, server: MailServer) -> None:
        self.hospital = hospital
        self.server = server
        self.queue = MailQueue(hospital.services.database)
        self.smtp = SmtpServer(hospital.services.settings)

    async def remind(self, appointment_id: str = "visit") -> None:
        """Tell Ana of an appointment."""
        event = reminder(appointment(appointment_id, start="2031-07-01T08:30:00Z"))
        assert event is not None
        await Teller(self.hospital.services, BASE).tell(event, datetime.now(UTC))

    async def send(self) -> int:
        """Send what is due."""
        return await send_due(self.hospital.services, BASE, self.queue, self.smtp)

    async def waiting(self) -> list[dict[str, Any]]:
        """Return the mails that wait."""
        return await self.hospital.services.database.collection("mail_queue").find({"due": {"$exists": True}}).to_list()

    async def hurry(self) -> None:
        """Let what waits be due now."""
        change = {"$set": {"due": datetime.now(UTC)}}
        await self.hospital.services.database.collection("mail_queue").update_many({"due": {"$exists": True}}, change)


@pytest.fixture
async def post(database: Database) -> AsyncIterator[Post]:
    """A hospital with a mail server; Ana has an address."""
    async with mail_server() as server:
        settings = Settings(
            smtp_host="127.0.0.1", smtp_port=server.port, smtp_security="none", smtp_from="desk@clinic.test"
        )
        hospital = Hospital(await services_on(database, settings))
        for resource in (patient(**ADDRESS), DOCTOR, CLINIC):
            await hospital.put(resource)
        yield Post(hospital, server)


async def test_a_notification_is_mailed_once(post: Post) -> None:
    """The mail says what the notification says, to the patient's address, and is not sent again."""
    await post.remind()
    await post.remind()
    await post.send()
    assert await post.send() == 0
    (mail,) = post.server.mails
    reported = (await post.hospital.told())[0]
    assert mail.get_content().strip() == reported["payload"][0]["contentString"]
    assert (mail["To"], mail["From"]) == ("ana@example.org", "desk@clinic.test")
    assert mail["Message-ID"] == f"<{reported['id']}@clinic.test>"


async def test_a_mail_speaks_the_patient_s_language(post: Post) -> None:
    """A Spanish patient gets subject and text in Spanish."""
    await post.hospital.put({**spanish(), **ADDRESS})
    await post.remind()
    await post.send()
    (mail,) = post.server.mails
    assert (mail["Content-Language"], mail["Subject"]) == ("es", "Un mensaje de su clínica")
    assert "Recordatorio" in mail.get_content()


async def test_who_has_no_address_gets_no_mail(post: Post) -> None:
    """Without an address the notification is in the app only."""
    await post.hospital.put(patient())
    await post.remind()
    assert await post.send() == 0
    assert len(await post.hospital.told()) == 1


async def test_a_mail_that_cannot_be_sent_is_sent_later(post: Post) -> None:
    """While the server does not take mail it waits, longer each time, and in the end it is given up."""
    post.server.to_mail = "451 try again"
    await post.remind()
    pauses = []
    for _ in PAUSES:
        await post.hurry()
        before = datetime.now(UTC)
        assert await post.send() == 1
        (waiting,) = await post.waiting()
        pauses.append(waiting["due"] - before)
    assert pauses == sorted(pauses)
    assert pauses[0] > timedelta(seconds=30)
    await post.hurry()
    await post.send()
    assert await post.waiting() == []
    assert post.server.mails == []


async def test_a_mail_that_cannot_be_made_does_not_stop_the_others(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried again later like one that is not taken; those behind it are sent."""
    await post.remind("first")
    await post.remind("second")
    first = (await post.queue.due())[0].communication_id
    making = mail_job.notifications.from_fhir

    def made(communication: dict[str, Any]) -> Any:
        if communication["id"] == first:
            raise KeyError("payload")
        return making(communication)

    monkeypatch.setattr(mail_job.notifications, "from_fhir", made)
    assert await post.send() == 2
    assert len(post.server.mails) == 1
    assert [each["_id"] for each in await post.waiting()] == [first]


async def test_a_mail_waits_for_a_server_that_is_away(post: Post) -> None:
    """It arrives when the server is back."""
    port, post.smtp._port = post.smtp._port, 9
    await post.remind()
    await post.send()
    assert len(await post.waiting()) == 1
    post.smtp._port = port
    await post.hurry()
    await post.send()
    assert len(post.server.mails) == 1


async def test_an_address_that_is_refused_is_not_tried_again(post: Post) -> None:
    """A permanent answer ends it, and the next mail is sent."""
    post.server.to_recipient = "550 no such user"
    await post.remind()
    await post.send()
    assert await post.waiting() == []
    post.server.to_recipient = "250 OK"
    await post.remind("another")
    await post.send()
    assert len(post.server.mails) == 1


@pytest.mark.parametrize("address", ["ana@example.org\r\nBcc: eve@example.org", "not an address"])
async def test_an_address_cannot_add_headers(post: Post, address: str) -> None:
    """Whatever stands as the address, no other header and no other recipient comes of it."""
    await post.hospital.put(patient(telecom=[{"system": "email", "value": address}]))
    await post.remind()
    await post.send()
    assert all("eve" not in mail.as_string() or mail["Bcc"] is None for mail in post.server.mails)
    assert await post.waiting() == []


async def test_without_a_mail_server_nothing_is_kept_for_mailing(hospital: Hospital) -> None:
    """Where none is set there is no job, and no queue grows."""
    await hospital.put(patient(**ADDRESS))
    event = reminder(appointment(start=moment(1)))
    assert event is not None
    await Teller(hospital.services, BASE).tell(event, datetime.now(UTC))
    assert len(await hospital.told()) == 1
    assert await hospital.services.database.collection("mail_queue").count_documents({}) == 0
    assert "mail" not in {job.name for job in jobs(hospital.services, BASE, SandboxGateway())}
