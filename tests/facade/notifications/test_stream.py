"""Server-sent events of GET /notifications/stream: live, resumable, the user's own, and only as long as the token."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.hospital.notifications import stream as endpoint
from fhir_server.server.app import create_app
from tests.event_stream import EventStream, stream
from tests.facade_server import AppUser, Hospital

PATH = "/notifications/stream"


def message(user: AppUser, message_id: str, text: str = "Hello", **more: Any) -> dict[str, Any]:
    """Return a Communication of the clinic to the user."""
    recipient = {"reference": f"Patient/{user.id}"}
    return {
        "resourceType": "Communication",
        "id": message_id,
        "status": "completed",
        "subject": recipient,
        "recipient": [recipient],
        "payload": [{"contentString": text}],
        **more,
    }


def opened(hospital: Hospital, user: AppUser, **more: Any) -> Any:
    """Return the user's stream, to be entered."""
    return stream(hospital.app, PATH, user.session.get("access_token"), **more)


async def told(reading: EventStream) -> tuple[str, str]:
    """Return the name of the next event, and the id of its notification."""
    event = await reading.next()
    assert event is not None
    return event.name, event.data.get("id", "")


async def test_a_notification_arrives_as_the_row_of_the_list(hospital: Hospital) -> None:
    """An event has just what the list of notifications says, and what is read later arrives as an update."""
    user = await hospital.sign_up()
    async with opened(hospital, user) as reading:
        assert reading.status == 200
        assert reading.headers["content-type"].startswith("text/event-stream")
        await hospital.put(message(user, "m1", "Good morning"))
        event = await reading.next()
        assert event is not None
        assert event.name == "notification"
        listed = await user.ask("GET", "/notifications")
        assert event.data == listed["items"][0]
        assert event.data["message"] == "Good morning"
        await user.ask("PUT", "/notifications/m1/read")
        event = await reading.next()
        assert event is not None
        assert (event.name, event.data["is_read"]) == ("update", True)


async def test_a_booking_over_fhir_arrives_at_the_app(hospital: Hospital) -> None:
    """What an EHR vendor writes over FHIR reaches the open app as a notification."""
    user = await hospital.sign_up()
    actor = {"actor": {"reference": f"Patient/{user.id}"}, "status": "accepted"}
    visit = {"resourceType": "Appointment", "id": "v", "status": "booked", "participant": [actor]}
    async with opened(hospital, user) as reading:
        await hospital.put({**visit, "start": "2031-07-01T08:30:00Z", "end": "2031-07-01T09:00:00Z"})
        event = await reading.next()
        assert event is not None
        assert (event.data["kind"], event.data["related"]) == ("appointment_booked", {"type": "Appointment", "id": "v"})


async def test_a_user_hears_only_of_her_own(hospital: Hospital) -> None:
    """What another user is told does not arrive."""
    mara, ilse = await hospital.sign_up("mara"), await hospital.sign_up("ilse")
    async with opened(hospital, mara) as reading:
        await hospital.put(message(ilse, "hers"), message(mara, "mine"))
        assert await told(reading) == ("notification", "mine")
        assert await reading.quiet()


async def test_a_stream_goes_on_where_it_broke_off(hospital: Hospital) -> None:
    """With Last-Event-ID just what was missed arrives, in order, and then what comes."""
    user = await hospital.sign_up()
    async with opened(hospital, user) as reading:
        await hospital.put(message(user, "m1"), message(user, "m2"))
        assert [await told(reading), await told(reading)] == [("notification", "m1"), ("notification", "m2")]
        last_id = reading.last_id
    await hospital.put(message(user, "m3"), message(user, "m4"))
    async with opened(hospital, user, last_id=last_id) as reading:
        assert [await told(reading), await told(reading)] == [("notification", "m3"), ("notification", "m4")]
        await hospital.put(message(user, "m5"))
        assert await told(reading) == ("notification", "m5")


async def test_a_stream_that_had_no_event_can_be_resumed_too(hospital: Hospital) -> None:
    """The place is told at the beginning already."""
    user = await hospital.sign_up()
    async with opened(hospital, user) as reading:
        assert reading.last_id
    await hospital.put(message(user, "m1"))
    async with opened(hospital, user, last_id=reading.last_id) as reading:
        assert await told(reading) == ("notification", "m1")


@pytest.mark.parametrize("last_id", ["nonsense", "A" * 40])
async def test_a_place_that_is_not_known_resets_the_app(hospital: Hospital, last_id: str) -> None:
    """Where it cannot be known what was missed the app is told to ask for the list, and the stream goes on."""
    user = await hospital.sign_up()
    async with opened(hospital, user, last_id=last_id) as reading:
        assert await told(reading) == ("reset", "")
        await hospital.put(message(user, "m1"))
        assert await told(reading) == ("notification", "m1")


async def test_a_stream_ends_with_its_token(hospital: Hospital) -> None:
    """After logout the stream tells no more and ends."""
    user = await hospital.sign_up()
    async with opened(hospital, user) as reading:
        await user.send("POST", "/user/logout")
        await hospital.put(message(user, "late"))
        assert await told(reading) == ("end", "")
        assert await reading.next() is None


async def test_without_a_token_there_is_no_stream(hospital: Hospital) -> None:
    """An unknown caller is refused as everywhere."""
    await hospital.visitor().refused("invalid_token", "GET", PATH)


async def test_it_arrives_whichever_worker_stored_it(hospital: Hospital) -> None:
    """A stream at one worker tells what another has stored."""
    user = await hospital.sign_up()
    other = create_app(hospital.services.settings)
    async with other.router.lifespan_context(other), stream(other, PATH, user.session["access_token"]) as reading:
        await hospital.put(message(user, "m1"))
        assert await told(reading) == ("notification", "m1")


async def test_a_quiet_stream_says_that_it_is_alive(hospital: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream without events moves its place on, so that it can be resumed from there."""
    monkeypatch.setattr(endpoint, "HEARTBEAT_SECONDS", 0.5)
    user, neighbour = await hospital.sign_up("mara"), await hospital.sign_up("ilse")
    async with opened(hospital, user) as reading:
        begun = reading.last_id
        await hospital.put(message(neighbour, "hers"))
        assert await reading.quiet(2.5)
        assert reading.last_id > begun
