"""A hospital that a module of tests asks and does not change: a user with something of everything, and another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from mappings.notifications.notifications import Notification, to_fhir
from tests.facade.clinic import booking_of, open_clinics, policy_of
from tests.facade.endpoints import Endpoint
from tests.facade.records.test_record import record_of
from tests.facade_server import AppUser, Hospital

FILE = ("knee.pdf", b"%PDF-1.4 knee", "application/pdf")


@dataclass(frozen=True)
class World:
    """The hospital, the user whose the ids are, and another user who has nothing."""

    hospital: Hospital
    mara: AppUser
    noor: AppUser
    ids: dict[str, str]

    def request_of(self, endpoint: Endpoint, **changes: Any) -> dict[str, Any]:
        """Return how the endpoint is asked, with other values for some fields, wherever they stand."""
        values = {**self.ids, **{name: changes[name] for name in endpoint.in_path & changes.keys()}}
        path = endpoint.path.format(**{"doctor_id": "okpara", **values})
        query = _filled(endpoint.query, self.ids, changes)
        return {"path": path, "params": query, "body": _filled(endpoint.body or {}, self.ids, changes)}

    async def ask(self, user: AppUser, endpoint: Endpoint, *, headers: Any = None, **changes: Any) -> httpx.Response:
        """Return the answer to the request of a row, as a user."""
        requested = self.request_of(endpoint, **changes)
        return await sent(user, endpoint, requested["path"], requested["params"], requested["body"], headers or {})


def _filled(template: Mapping[str, Any], ids: Mapping[str, str], changes: Mapping[str, Any]) -> dict[str, Any]:
    filled = {
        name: value.format(**ids) if isinstance(value, str) and value.startswith("{") else value
        for name, value in template.items()
    }
    return {name: changes.get(name, value) for name, value in filled.items()}


async def sent(
    user: AppUser, endpoint: Endpoint, path: str, query: Any, body: Any, headers: Mapping[str, str]
) -> httpx.Response:
    """Return the answer to a request in the form that the endpoint takes."""
    if endpoint.multipart:
        own = {"Authorization": f"Bearer {user.session['access_token']}"} if user.session else {}
        files = {"file": FILE}
        return await user.http.request(
            endpoint.method, path, params=query, data=body, files=files, headers={**own, **headers}
        )
    values = body if endpoint.body is not None else None
    return await user.send(endpoint.method, path, values, params=query, headers=headers)


async def make_world(hospital: Hospital) -> World:
    """Return the hospital with its two users."""
    await open_clinics(hospital)
    mara, noor = await hospital.sign_up("mara"), await hospital.sign_up("noor")
    member = {"name": "Ada", "relation": "child", "dob": "2019-05-01"}
    child = await mara.ask("POST", "/user/family", member, status=201)
    booked = await mara.ask("POST", "/booking/appointments", booking_of(), status=201)
    reported = Notification(
        id="told", user_id=mara.id, message="Hello", kind="general", created_at=booked["created_at"]
    )
    assert reported.created_at is not None
    notification = to_fhir(reported, at=reported.created_at, language="en", translations={})
    await hospital.put(policy_of(mara.id), *record_of(mara.id, booked["id"]), notification)
    over = await mara.ask("POST", "/booking/appointments", booking_of("10:30"), status=201)
    appointment = await hospital.fhir("GET", f"Appointment/{over['id']}")
    await hospital.put(appointment | {"status": "fulfilled"})
    ids = {
        "completed_id": over["id"],
        "member_id": child["id"],
        "appointment_id": booked["id"],
        "insurance_coverage_id": f"policy-{mara.id}",
        "notification_id": "told",
        "lab_test_id": "lipids",
        "prescription_id": "pills",
        "document_id": "document",
    }
    return World(hospital, mara, noor, ids)
