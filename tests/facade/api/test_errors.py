"""Every error that the contract lists for an endpoint, brought about there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest

from fhir_server.hospital.api import idempotency
from fhir_server.hospital.api.problem import PROBLEMS
from fhir_server.own_urls import own_url
from tests.facade.accounts.test_throttle import just_now
from tests.facade.clinic import MONDAY, booking_of
from tests.facade.endpoints import BY_NUMBER, ENDPOINTS, Endpoint
from tests.facade.visits.test_clinic import due_now
from tests.facade.world import World, make_world
from tests.facade_server import PASSWORD, Hospital

KEY = {"Idempotency-Key": "k"}


@dataclass(frozen=True)
class Case:
    """An endpoint in a world, where something is to go wrong."""

    world: World
    row: Endpoint
    monkeypatch: pytest.MonkeyPatch

    async def ask(self, *, headers: Any = None, **changes: Any) -> httpx.Response:
        """Return the answer to the row's request, as its user."""
        return await self.world.ask(self.world.mara, self.row, headers=headers, **changes)

    @property
    def hospital(self) -> Hospital:
        """The server."""
        return self.world.hospital

    async def change(self, reference: str, **elements: Any) -> None:
        """Change a resource as an EHR vendor does."""
        await self.hospital.put(await self.hospital.fhir("GET", reference) | elements)


Bring = Callable[[Case], Awaitable[httpx.Response]]
CASES: dict[tuple[str, str], Bring] = {}


def brings(code: str, *numbers: str) -> Callable[[Bring], Bring]:
    """Return the decorator for what brings an error about at the endpoints of these numbers."""

    def registered(bring: Bring) -> Bring:
        CASES.update({(number, code): bring for number in numbers})
        return bring

    return registered


FIELDS = {
    "amount_mismatch": ["amount"],
    "idempotency_key_reused": ["idempotency-key"],
    "in_the_past": ["appointment_time"],
    "insurance_not_verified": ["payment_method"],
    "outside_hours": ["appointment_time"],
    "too_early": ["appointment_id"],
    "too_far": ["latitude"],
    "too_far_ahead": ["appointment_time"],
    "too_late": ["appointment_id"],
    "validation_failed": ["appointment_id"],
}
"""The fields that a 422 is told of."""


# --- Accounts ----------------------------------------------------------------------------------------------------


@brings("email_taken", "1", "6")
async def _(case: Case) -> httpx.Response:
    return await _profile(case, email="NOOR@example.org", **_proof(case))


@brings("phone_taken", "1", "6")
async def _(case: Case) -> httpx.Response:
    return await _profile(case, phone=case.world.noor.session["user"]["phone"], **_proof(case))


@brings("invalid_credentials", "6")
async def _(case: Case) -> httpx.Response:
    return await _profile(case, email="new@example.org", current_password="not the password")


def _proof(case: Case) -> dict[str, str]:
    """Return what changing a sign-in name needs beside it; signing up needs nothing."""
    return {"current_password": PASSWORD} if case.row.number == "6" else {}


async def _profile(case: Case, **changes: Any) -> httpx.Response:
    requested = case.world.request_of(case.row)
    return await case.world.mara.send(case.row.method, requested["path"], requested["body"] | changes)


@brings("invalid_credentials", "2", "7", "erase")
@brings("invalid_token", "3", "reset")
@brings("not_arrived", "23", "24")
@brings("too_early", "22")
async def _(case: Case) -> httpx.Response:
    return await case.ask()


@brings("too_many_attempts", "2", "7", "erase", "forgot")
async def _(case: Case) -> httpx.Response:
    for _ in range(5):
        await case.ask()
    await just_now(case.hospital)
    return await case.ask()


@brings("too_many_streams", "stream")
async def _(case: Case) -> httpx.Response:
    case.hospital.services.settings.max_streams_per_user = 0
    return await case.ask()


@brings("account_inactive", "2")
async def _(case: Case) -> httpx.Response:
    await case.change(f"Patient/{case.world.mara.id}", active=False)
    return await case.ask(password=PASSWORD)


# --- Insurance and payments --------------------------------------------------------------------------------------


@brings("payer_unavailable", "12", "30", "34")
async def _(case: Case) -> httpx.Response:
    settings = case.hospital.services.settings
    settings.payer_url, settings.allow_internal_urls = "http://127.0.0.1:9/fhir", True
    return await case.ask()


@brings("payment_declined", "13", "31")
async def _(case: Case) -> httpx.Response:
    return await case.ask(card_token="tok_chargeDeclined")


@brings("gateway_unavailable", "13", "31")
async def _(case: Case) -> httpx.Response:
    return await case.ask(card_token="tok_timeout")


@brings("already_paid", "13", "31")
async def _(case: Case) -> httpx.Response:
    assert (await case.ask()).status_code == 201
    return await case.ask()


@brings("insurance_not_verified", "13", "31")
async def _(case: Case) -> httpx.Response:
    return await case.ask(payment_method="insurance", card_token=None)


@brings("appointment_canceled", "13", "22")
async def _(case: Case) -> httpx.Response:
    await case.world.mara.ask("DELETE", f"/booking/appointments/{case.world.ids['appointment_id']}")
    return await case.ask()


@brings("appointment_canceled", "31")
async def _(case: Case) -> httpx.Response:
    await case.ask(payment_method="cash", card_token=None)
    invoice = await case.hospital.fhir("GET", f"Invoice?subject=Patient/{case.world.mara.id}&_sort=-_lastUpdated")
    await case.hospital.put(invoice["entry"][0]["resource"] | {"status": "cancelled"})
    return await case.ask()


@brings("amount_mismatch", "13")
async def _(case: Case) -> httpx.Response:
    return await case.ask(amount=89)


@brings("amount_mismatch", "31")
async def _(case: Case) -> httpx.Response:
    await case.hospital.put(
        {
            "resourceType": "Invoice",
            "id": "lab",
            "status": "issued",
            "identifier": [{"system": own_url("identifier", "invoice-for"), "value": "ServiceRequest/lipids"}],
            "subject": {"reference": f"Patient/{case.world.mara.id}"},
            "lineItem": [{"chargeItemCodeableConcept": {"text": "Lipids"}}],
            "totalGross": {"value": 45, "currency": "USD"},
        }
    )
    return await case.ask(amount=30)


# --- Idempotency-Key ---------------------------------------------------------------------------------------------


@brings("idempotency_key_reused", "13", "18", "25", "31")
async def _(case: Case) -> httpx.Response:
    assert (await case.ask(headers=KEY)).status_code == 201
    changes = {"amount": 1} if "amount" in (case.row.body or {}) else {"appointment_time": "11:00"}
    return await case.ask(headers=KEY, **changes)


@brings("request_in_progress", "13", "18", "25", "31")
async def _(case: Case) -> httpx.Response:
    assert (await case.ask(headers=KEY)).status_code == 201
    # As if the first one were still running.
    running = {"$set": {"status": None, "answer": None}}
    await case.hospital.services.database.collection("idempotency_keys").update_many({}, running)
    case.monkeypatch.setattr(idempotency, "_WAIT_SECONDS", 0.1)
    return await case.ask(headers=KEY)


# --- Booking -----------------------------------------------------------------------------------------------------


@brings("slot_taken", "18", "19", "25")
async def _(case: Case) -> httpx.Response:
    await case.world.noor.ask("POST", "/booking/appointments", booking_of("11:30"), status=201)
    return await case.ask()


@brings("outside_hours", "18", "19", "25")
async def _(case: Case) -> httpx.Response:
    return await case.ask(appointment_time="20:00")


@brings("in_the_past", "18", "19", "25")
async def _(case: Case) -> httpx.Response:
    return await case.ask(appointment_date=(MONDAY - timedelta(weeks=4)).isoformat())


@brings("too_far_ahead", "18", "19", "25")
async def _(case: Case) -> httpx.Response:
    return await case.ask(appointment_date=(MONDAY + timedelta(weeks=80)).isoformat())


@brings("too_late", "22")
async def _(case: Case) -> httpx.Response:
    appointment = await due_now(case.hospital, case.world.mara, "10:00", minutes=-13 * 60)
    return await case.ask(appointment_id=appointment["id"])


@brings("not_reschedulable", "19", "20")
async def _(case: Case) -> httpx.Response:
    await case.change(f"Appointment/{case.world.ids['appointment_id']}", status="fulfilled")
    return await case.ask()


@brings("not_completed", "25")
async def _(case: Case) -> httpx.Response:
    return await case.ask(appointment_id=case.world.ids["appointment_id"])


# --- At the clinic, and files ------------------------------------------------------------------------------------


@brings("too_far", "22")
async def _(case: Case) -> httpx.Response:
    appointment = await due_now(case.hospital, case.world.mara, "10:00")
    return await case.world.mara.send(
        "POST", case.row.path, {"appointment_id": appointment["id"], "latitude": 43.68, "longitude": -70.25}
    )


@brings("already_arrived", "22")
async def _(case: Case) -> httpx.Response:
    appointment = await due_now(case.hospital, case.world.mara, "10:00")
    assert (await case.ask(appointment_id=appointment["id"])).status_code == 200
    return await case.ask(appointment_id=appointment["id"])


@brings("validation_failed", "23")
async def _(case: Case) -> httpx.Response:
    return await case.world.mara.send("GET", f"{case.row.path}?appointment_id=x&clinic_id=harbour")


@brings("range_not_satisfiable", "36")
async def _(case: Case) -> httpx.Response:
    return await case.ask(headers={"Range": "bytes=999999-"})


# --- The tests, when all cases are known --------------------------------------------------------------------------


ELSEWHERE = {
    ("1", "too_many_attempts"),
    ("6", "too_many_attempts"),
    ("signup confirm", "invalid_token"),
    ("signup confirm", "email_taken"),
    ("contact confirm", "invalid_token"),
    ("contact confirm", "email_taken"),
    ("contact confirm", "conflict"),
    ("2", "second_factor_required"),
    ("2", "second_factor_missing"),
    ("second factor", "invalid_credentials"),
    ("second factor", "too_many_attempts"),
    ("second factor", "account_inactive"),
}
"""What needs a mail server, many requests or a second factor: tests/attacks/accounts, tests/second_factor have it."""


def test_every_error_is_brought_about() -> None:
    """Each code of each row has a case here, or is named as one that another file brings about."""
    assert CASES.keys() | ELSEWHERE == {(row.number, code) for row in ENDPOINTS for code in row.codes}


@pytest.mark.parametrize(("number", "code"), sorted(CASES))
async def test_errors(hospital: Hospital, number: str, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is told by its code and status, with a title in the language that is asked for."""
    case = Case(await make_world(hospital), BY_NUMBER[number], monkeypatch)
    response = await CASES[number, code](case)
    assert response.headers["content-type"] == "application/problem+json", response.text
    problem, (status, english) = response.json(), PROBLEMS[code]
    assert (response.status_code, problem["code"], problem["title"]) == (status, code, english), problem
    assert [error["field"] for error in problem.get("errors", ())] == FIELDS.get(code, [])
    if status == 401:
        assert response.headers["www-authenticate"].startswith("Bearer")
    if status in (429, 503):
        assert int(response.headers["retry-after"]) > 0
