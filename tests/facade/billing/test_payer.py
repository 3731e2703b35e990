"""Verifying with an insurer that answers for itself: CoverageEligibilityRequest/$submit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.facade.clinic import open_clinics, policy_of
from tests.facade_server import AppUser, Hospital
from tests.smart.over_http import free_port, served

VERIFY = "/booking/insurance/verify"
POLICY = {"provider": "solace mutual", "policy_number": "SOL-1", "specialty_id": "cardiology"}
COPAY = {
    "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/benefit-type", "code": "copay"}]},
    "allowedMoney": {"value": 35.5, "currency": "USD"},
}
IN_FORCE = {
    "inforce": True,
    "benefitPeriod": {"start": "2026-01-01", "end": "2099-12-31"},
    "item": [{"excluded": False, "benefit": [COPAY]}],
}


class Insurer:
    """An insurer that answers what it is told to."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.says: Response | dict[str, Any] = {}

    async def submit(self, request: Request) -> Response:
        self.asked.append(await request.json())
        self.headers.append(dict(request.headers))
        return self.says if isinstance(self.says, Response) else JSONResponse(self.says)


def eligibility(*insurance: dict[str, Any], outcome: str = "complete", **more: Any) -> dict[str, Any]:
    """Return a response in the insurer's own words."""
    return {
        "resourceType": "CoverageEligibilityResponse",
        "status": "active",
        "purpose": ["validation"],
        "patient": {"display": "M. Lindqvist"},
        "created": "2026-11-01",
        "request": {"display": "yours"},
        "insurer": {"display": "Solace"},
        "outcome": outcome,
        "insurance": [{"coverage": {"display": "SOL-1"}, **each} for each in insurance],
        **more,
    }


@pytest.fixture
async def insurer(hospital: Hospital) -> AsyncIterator[Insurer]:
    """Yield the insurer that the hospital asks."""
    made, port = Insurer(), free_port()
    routes = [Route("/r4/CoverageEligibilityRequest/$submit", made.submit, methods=["POST"])]
    settings = hospital.services.settings
    settings.payer_url, settings.payer_token = f"http://127.0.0.1:{port}/r4/", "payer-token"
    settings.allow_internal_urls = True
    async with served(Starlette(routes=routes), port):
        yield made


async def member(hospital: Hospital) -> AppUser:
    """Return a user with a policy."""
    await open_clinics(hospital)
    mara = await hospital.sign_up("mara", date_of_birth="1990-02-03")
    await hospital.put(policy_of(mara.id))
    return mara


async def test_the_insurer_decides(hospital: Hospital, insurer: Insurer) -> None:
    """What it says is the answer, is written down with the question, and is what is due afterwards."""
    mara = await member(hospital)
    insurer.says = eligibility(IN_FORCE, disposition="Covered after deductible")
    answer = await mara.ask("POST", VERIFY, POLICY)
    assert answer == {
        "verified": True,
        "status": "active",
        "coverage_id": f"policy-{mara.id}",
        "covered": True,
        "copay": {"amount": 35.5, "currency": "USD"},
        "valid_from": "2026-01-01",
        "valid_until": "2099-12-31",
        "reason": "Covered after deductible",
    }
    stored = await hospital.fhir("GET", "CoverageEligibilityResponse?_include=CoverageEligibilityResponse:request")
    assert [entry["resource"]["resourceType"] for entry in stored["entry"]] == [
        "CoverageEligibilityResponse",
        "CoverageEligibilityRequest",
    ]


async def test_what_the_insurer_is_told(hospital: Hospital, insurer: Insurer) -> None:
    """It is given what the request refers to, of the patient no more than a member is found by, and its own token."""
    mara = await member(hospital)
    insurer.says = eligibility(IN_FORCE)
    await mara.ask("POST", VERIFY, POLICY)
    [bundle] = insurer.asked
    sent = {entry["resource"]["resourceType"]: entry for entry in bundle["entry"]}
    assert list(sent) == ["CoverageEligibilityRequest", "Patient", "Coverage", "HealthcareService"]
    assert set(sent["Patient"]["resource"]) == {"resourceType", "id", "name", "birthDate"}
    coverage = sent["CoverageEligibilityRequest"]["resource"]["insurance"][0]["coverage"]["reference"]
    assert sent["Coverage"]["fullUrl"] == f"http://server.test/fhir/{coverage}"
    assert insurer.headers[0]["authorization"] == "Bearer payer-token"


@pytest.mark.parametrize(
    ("text", "status", "covered"),
    [
        (eligibility({"inforce": False}), "inactive", None),
        (eligibility({**IN_FORCE, "item": [{"excluded": True}]}), "active", False),
        (eligibility(outcome="error"), "unknown", None),
        (eligibility(IN_FORCE, outcome="error"), "unknown", None),
        (
            {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": eligibility(IN_FORCE)}]},
            "active",
            True,
        ),
    ],
)
async def test_what_an_insurer_may_say(
    hospital: Hospital, insurer: Insurer, text: dict[str, Any], status: str, covered: bool | None
) -> None:
    """A policy that is not in force, an excluded service, an error, and an answer in a Bundle."""
    mara = await member(hospital)
    insurer.says = text
    answer = await mara.ask("POST", VERIFY, POLICY)
    assert (answer["status"], answer["verified"]) == (status, status == "active")
    assert answer["covered"] is covered


@pytest.mark.parametrize(
    "says",
    [
        Response("secret trace", 500),
        Response("<html>"),
        JSONResponse({"resourceType": "OperationOutcome"}),
        JSONResponse([1]),
        JSONResponse({"resourceType": "Bundle", "entry": ["x"]}),
        JSONResponse(eligibility() | {"insurance": "none"}),
        JSONResponse(
            eligibility({"item": [{"benefit": [{"type": COPAY["type"], "allowedMoney": {"value": "much"}}]}]})
        ),
        Response("", 302, headers={"Location": "http://127.0.0.1/"}),
    ],
)
async def test_an_insurer_that_cannot_answer(hospital: Hospital, insurer: Insurer, says: Response) -> None:
    """It is told as such and can be tried again: the question is kept, and the second time it is answered."""
    mara = await member(hospital)
    insurer.says = says
    response = await mara.send("POST", VERIFY, POLICY)
    assert (response.status_code, response.json()["code"]) == (503, "payer_unavailable")
    assert int(response.headers["retry-after"]) > 0
    assert "secret" not in response.text
    assert (await hospital.fhir("GET", "CoverageEligibilityRequest"))["total"] == 1
    insurer.says = eligibility(IN_FORCE)
    assert (await mara.ask("POST", VERIFY, POLICY))["verified"] is True


async def test_an_insurer_that_is_not_there(hospital: Hospital, insurer: Insurer) -> None:
    """Nobody listens: 503, and nothing is lost."""
    mara = await member(hospital)
    hospital.services.settings.payer_url = f"http://127.0.0.1:{free_port()}/fhir"
    await mara.refused("payer_unavailable", "POST", VERIFY, POLICY)
    assert (await hospital.fhir("GET", "CoverageEligibilityRequest"))["total"] == 1


async def test_an_insurer_of_this_network_needs_a_setting(hospital: Hospital, insurer: Insurer) -> None:
    """Without `allow_internal_urls` no address of this network is asked."""
    mara = await member(hospital)
    hospital.services.settings.allow_internal_urls = False
    await mara.refused("payer_unavailable", "POST", VERIFY, POLICY)
    assert insurer.asked == []
