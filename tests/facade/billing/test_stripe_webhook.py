"""POST /payments/webhook/stripe: what Stripe tells of its own accord, signed, any number of times."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
import stripe

from fhir_server.engine.context import Context
from fhir_server.engine.engine import asking
from fhir_server.hospital.billing.card.attempts import begin
from fhir_server.server.app import create_app
from fhir_server.settings import Settings
from fhir_server.store.database.mongo import Database
from mappings.shared.money import Money
from tests.facade_server import ORIGIN, Hospital

SECRET = "whsec_hospital"
PATH = "/payments/webhook/stripe"


@pytest.fixture
async def charging(database: Database, mongod_url: str, tmp_path: Path) -> AsyncIterator[Hospital]:
    """The server with a secret of Stripe's webhooks."""
    settings = Settings(
        base_url=f"{ORIGIN}/fhir",
        database_url=mongod_url,
        database_name=database.name,
        data_dir=tmp_path,
        log_level="critical",
        stripe_webhook_secret=SECRET,
    )
    app = create_app(settings)
    http = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=ORIGIN)
    async with app.router.lifespan_context(app), http:
        yield Hospital(app, http)


async def open_attempt(hospital: Hospital) -> str:
    """Return the key of an attempt to pay an invoice whose outcome is not known."""
    total = {"value": Decimal(80), "currency": "EUR"}
    subject = {"reference": "Patient/ana"}
    invoice = {"resourceType": "Invoice", "id": "inv", "status": "issued", "subject": subject, "totalGross": total}
    await hospital.put(invoice)
    context = Context(hospital.services, f"{ORIGIN}/fhir")
    return await begin(asking(context), "inv", Money(amount=Decimal(80), currency="EUR"), "holder")


async def tell(hospital: Hospital, key: str, *, secret: str = SECRET) -> httpx.Response:
    """Return the answer to Stripe's message that the attempt has succeeded."""
    about = {"object": "payment_intent", "id": "pi_1", "status": "succeeded", "metadata": {"attempt": key}}
    event: dict[str, Any] = {"object": "event", "type": "payment_intent.succeeded", "data": {"object": about}}
    body = json.dumps(event)
    signature = stripe.WebhookSignature.generate_signature_header(body, secret, int(time.time()))
    return await hospital.http.post(PATH, content=body, headers={"Stripe-Signature": signature})


async def test_a_webhook_settles_an_open_attempt_once(charging: Hospital) -> None:
    """What Stripe tells settles the payment; told again it changes nothing."""
    key = await open_attempt(charging)
    for _ in range(2):
        answer = await tell(charging, key)
        assert (answer.status_code, answer.json()) == (200, {"received": True})
    attempt = await charging.fhir("GET", "PaymentReconciliation/inv")
    assert (attempt["outcome"], attempt["meta"]["versionId"]) == ("complete", "2")
    assert (await charging.fhir("GET", "Invoice/inv"))["status"] == "balanced"


async def test_a_webhook_of_another_is_refused(charging: Hospital) -> None:
    """Without Stripe's signature nothing is settled."""
    key = await open_attempt(charging)
    answer = await tell(charging, key, secret="whsec_other")
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
    assert (await charging.fhir("GET", "PaymentReconciliation/inv"))["outcome"] == "queued"


async def test_a_payment_that_is_not_known_is_taken_and_left_alone(charging: Hospital) -> None:
    """Stripe need not tell again what is not ours."""
    assert (await tell(charging, "elsewhere/1")).status_code == 200


async def test_without_stripe_there_is_no_webhook(hospital: Hospital) -> None:
    """A server that does not use Stripe has no such address."""
    assert (await tell(hospital, "inv/1")).status_code == 404
