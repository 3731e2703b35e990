"""Stripe's API as far as the adapter uses it, on the loopback: cards by token, idempotency keys, lost answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

_CARD_ERROR = {"type": "card_error", "code": "card_declined", "decline_code": "insufficient_funds"}


@dataclass(slots=True)
class FakeStripe:
    """The books of the fake."""

    url: str = ""
    intents: list[dict[str, Any]] = field(default_factory=list)
    refunds: list[dict[str, Any]] = field(default_factory=list)
    answers_lost: bool = False
    """Whether it does what it is asked, but its answer does not arrive."""
    _answers: dict[str, tuple[dict[str, str], int, Any]] = field(default_factory=dict)

    @property
    def charged(self) -> int:
        """The sum of what cards were charged, in cents."""
        return sum(intent["amount"] for intent in self.intents if intent["status"] == "succeeded")

    async def _create(self, request: Request) -> Response:
        by_name = {name: str(value) for name, value in (await request.form()).items()}
        return self._once(request, by_name, self._charge)

    async def _refund(self, request: Request) -> Response:
        by_name = {name: str(value) for name, value in (await request.form()).items()}
        return self._once(request, by_name, self._give_back)

    async def _list(self, request: Request) -> Response:
        begin = int(request.query_params.get("created[gte]", 0))
        items = [intent for intent in reversed(self.intents) if intent["created"] >= begin]
        return JSONResponse({"object": "list", "data": items, "has_more": False, "url": "/v1/payment_intents"})

    def _once(self, request: Request, values: dict[str, str], act: Any) -> Response:
        if request.headers.get("authorization") != "Bearer sk_test_hospital":
            return JSONResponse({"error": {"type": "invalid_request_error", "message": "Invalid key"}}, 401)
        key = request.headers["idempotency-key"]
        if key not in self._answers:
            self._answers[key] = (values, *act(values))
        before, status, answer = self._answers[key]
        if before != values:
            return JSONResponse({"error": {"type": "idempotency_error", "message": "Other parameters"}}, 400)
        if self.answers_lost:
            return JSONResponse({"error": {"type": "api_error", "message": "Bad gateway"}}, 502)
        return JSONResponse(answer, status)

    def _charge(self, values: dict[str, str]) -> tuple[int, Any]:
        token = values.get("payment_method_data[card][token]") or values["payment_method"]
        if token not in ("tok_visa", "tok_chargeDeclined", "pm_card_visa"):
            fault = {"type": "invalid_request_error", "code": "resource_missing", "message": "No such token"}
            return 400, {"error": fault}
        declined = token == "tok_chargeDeclined"
        intent = {
            "object": "payment_intent",
            "id": f"pi_{len(self.intents) + 1}",
            "amount": int(values["amount"]),
            "currency": values["currency"],
            "created": int(time.time()),
            "metadata": {"attempt": values["metadata[attempt]"]},
            "status": "requires_payment_method" if declined else "succeeded",
            "last_payment_error": _CARD_ERROR if declined else None,
        }
        self.intents.append(intent)
        return (402, {"error": {**_CARD_ERROR, "payment_intent": intent}}) if declined else (200, intent)

    def _give_back(self, values: dict[str, str]) -> tuple[int, Any]:
        refund = {
            "object": "refund",
            "id": f"re_{len(self.refunds) + 1}",
            "status": "succeeded",
            "amount": int(values["amount"]),
            "payment_intent": values["payment_intent"],
            "failure_reason": None,
        }
        self.refunds.append(refund)
        return 200, refund

    def app(self) -> Starlette:
        """Return the API."""
        return Starlette(
            routes=[
                Route("/v1/payment_intents", self._create, methods=["POST"]),
                Route("/v1/payment_intents", self._list, methods=["GET"]),
                Route("/v1/refunds", self._refund, methods=["POST"]),
            ]
        )


@asynccontextmanager
async def fake_stripe() -> AsyncIterator[FakeStripe]:
    """Serve a fake Stripe on a free port of the loopback."""
    fake = FakeStripe()
    server = uvicorn.Server(uvicorn.Config(fake.app(), host="127.0.0.1", port=0, log_level="critical", lifespan="off"))
    server.capture_signals = nullcontext  # type: ignore[method-assign, assignment]  # signals are the test run's
    task = asyncio.create_task(server.serve())
    try:
        while not server.started:  # noqa: ASYNC110 - it has no event to wait for
            await asyncio.sleep(0.01)
        fake.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        yield fake
    finally:
        server.should_exit = True
        await task
