"""Reminders of tomorrow's visits: one for each time that a visit is set to."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from fhir_server.engine.context import now
from fhir_server.hospital.notifications.reminders_job import remind
from tests.notifications.told import BASE, Hospital, appointment, moment


async def test_a_visit_within_a_day_is_reminded_of_once(hospital: Hospital) -> None:
    """However often the job runs, there is one reminder."""
    await hospital.put(appointment(start=moment(0.9)))
    assert [await remind(hospital.services, BASE, now()) for _ in range(2)] == [1, 0]
    reported = await hospital.told()
    assert reported[0]["topic"]["coding"][0]["code"] == "appointment_reminder"
    assert reported[0]["payload"][0]["contentString"].startswith("Reminder: you see Dr. Luz Gil at Clínica Norte on ")


async def test_a_visit_that_moves_is_reminded_of_again(hospital: Hospital) -> None:
    """A new time is a new thing to be reminded of; another change of the visit is not."""
    start = moment(0.7)
    await hospital.put(appointment(start=start))
    assert await remind(hospital.services, BASE, now()) == 1
    await hospital.put(appointment(start=start, comment="Bring the papers"))
    assert await remind(hospital.services, BASE, now()) == 0
    await hospital.put(appointment(start=moment(0.9)))
    assert await remind(hospital.services, BASE, now()) == 1


@pytest.mark.parametrize(
    "visit",
    [
        {"start": moment(1.5)},
        {"start": moment(-0.1)},
        {"start": moment(0.2)},
        {"start": moment(0.9), "status": "cancelled"},
        {"start": moment(0.9), "status": "fulfilled"},
    ],
    ids=["later", "over", "just booked", "cancelled", "had"],
)
async def test_other_visits_are_not_reminded_of(hospital: Hospital, visit: dict[str, Any]) -> None:
    """Nobody is reminded of what is later, over, off, or was booked for the same half-day."""
    await hospital.put(appointment(**visit))
    assert await remind(hospital.services, BASE, now()) == 0


async def test_a_visit_of_months_ago_is_reminded_of_when_its_day_comes(hospital: Hospital) -> None:
    """What was booked long before is reminded of a day before."""
    await hospital.put(appointment(start=moment(60)))
    assert await remind(hospital.services, BASE, now() + timedelta(days=58)) == 0
    assert await remind(hospital.services, BASE, now() + timedelta(days=59.5)) == 1
