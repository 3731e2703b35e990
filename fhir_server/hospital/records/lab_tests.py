"""Endpoints 30 to 32: lab tests and their results, what they cost and who pays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query
from pydantic import BaseModel
from starlette.responses import Response

from fhir_server.engine.context import now
from fhir_server.hospital.api.answers import Answer
from fhir_server.hospital.api.caller import Called, Caller
from fhir_server.hospital.api.description.openapi import errors
from fhir_server.hospital.api.fields import Amount, ResourceId
from fhir_server.hospital.api.idempotency import IdempotencyKey, once
from fhir_server.hospital.api.own import own_named, require_own
from fhir_server.hospital.api.paging import Cursor, Limit, Page, page_of
from fhir_server.hospital.api.spans import Day, lies_between, moment_of
from fhir_server.hospital.billing.amounts_due import due_for, eligibilities, invoices_for
from fhir_server.hospital.billing.paying import pay
from fhir_server.hospital.billing.requests import PAYING_ERRORS, Paying
from fhir_server.hospital.insurance.verification import PolicyQuery, Service, VerificationAnswer, verify
from fhir_server.hospital.records.records import Record
from mappings.billing.payments import Method, Payment
from mappings.billing.payments import Status as PaymentStatus
from mappings.records import lab_tests
from mappings.records.lab_tests import Status
from mappings.shared import clinic_clock, reading
from mappings.shared.elements import Resource

router = APIRouter(prefix="/lab-tests", tags=["lab-tests"])

_NOT_ORDERED = ("entered-in-error", "draft", "revoked")


class MeasurementAnswer(BaseModel):
    """What was measured."""

    name: str | None
    value: str | None
    unit: str | None
    reference_range: str | None
    flag: str | None


class LabTestAnswer(Answer):
    """A lab test with its results."""

    treatment_plan_id: str | None
    test_name: str | None
    result: str | None
    status: Status
    observations: list[MeasurementAnswer]
    report_id: str | None
    issued_at: datetime | None


class LabTestAsked(PolicyQuery):
    """A lab test, and the policy that shall pay for it; without one that on file."""

    lab_test_id: ResourceId


class LabTestPaying(Paying):
    """A payment for a lab test."""

    lab_test_id: ResourceId


class LabPaymentAnswer(Answer):
    """A payment for a lab test; `id` is that of its Invoice."""

    lab_test_id: str | None
    amount: Amount
    currency: str | None
    payment_method: Method | None
    status: PaymentStatus
    transaction_id: str | None


@dataclass(frozen=True, slots=True)
class Result:
    """A test with its report, and what the report refers to."""

    order: dict[str, Any]
    """The ServiceRequest, or the DiagnosticReport where there is no order."""
    report: dict[str, Any] | None
    observations: list[dict[str, Any]]

    @property
    def written(self) -> datetime:
        """When the test was ordered, or the report without an order came out."""
        return reading.dated(self.order, "authoredOn", "issued", "effectiveDateTime")

    @property
    def issued(self) -> datetime | None:
        """When the report came out."""
        report = self.report or {}
        return reading.moment(report.get("issued")) or reading.moment(report.get("effectiveDateTime"))


async def results_of(caller: Caller) -> list[Result]:
    """Return the user's lab tests with their results, the newest first."""
    subject = ("subject", f"Patient/{caller.patient_id}")
    orders = (await caller.fhir.all("ServiceRequest", [subject])).matches
    reports = await caller.fhir.all("DiagnosticReport", [subject, ("_include", "DiagnosticReport:result")])
    by_order: dict[str, list[dict[str, Any]]] = {}
    shown = [order for order in orders if order.get("status") not in _NOT_ORDERED]
    own_orders = {order["id"] for order in shown}
    alone = []
    for report in reports.matches:
        ids = [reading.reference_id(reference, "ServiceRequest") for reference in report.get("basedOn", ())]
        for order_id in ids:
            by_order.setdefault(order_id or "", []).append(report)
        if not own_orders & set(ids) and report.get("status") in lab_tests.FINISHED:
            alone.append(report)
    results = [_result(order, by_order.get(order["id"], []), reports.included) for order in shown]
    # A report without an order is a row of its own, told from the report alone.
    results += [_result(report, [report], reports.included) for report in alone]
    return sorted(results, key=lambda item: (item.written, item.order["id"]), reverse=True)


def _result(order: dict[str, Any], reports: list[dict[str, Any]], included: dict[str, dict[str, Any]]) -> Result:
    usable = [item for item in reports if item.get("status") not in lab_tests.MISTAKEN]
    usable.sort(key=lambda item: (item.get("status") in lab_tests.FINISHED, item["meta"]["lastUpdated"], item["id"]))
    report = usable[-1] if usable else None
    ids = (reading.reference_id(item, "Observation") for item in (report or {}).get("result", ()))
    observations = [included.get(f"Observation/{observation_id}") for observation_id in ids]
    return Result(
        order, report, [item for item in observations if item and item.get("status") not in lab_tests.MISTAKEN]
    )


async def lab_test_answers(caller: Caller, record: Record, results: Sequence[Result]) -> list[LabTestAnswer]:
    """Return the answers for lab tests."""
    created: dict[tuple[str, str], datetime] = {}
    for kind in ("ServiceRequest", "DiagnosticReport"):
        times = await caller.fhir.created(item.order for item in results if item.order["resourceType"] == kind)
        created |= {(kind, each): moment for each, moment in times.items()}
    answers = []
    for result in results:
        row = lab_tests.from_fhir(
            result.order,
            result.report,
            result.observations,
            treatment_plan_id=record.plan_id_of(result.order),
            created=created.get((result.order["resourceType"], result.order["id"])),
        )
        measured = [item.model_dump() for item in lab_tests.measurements(result.observations)]
        report_id = result.report["id"] if result.report else None
        answers.append(LabTestAnswer.of(row, observations=measured, report_id=report_id, issued_at=result.issued))
    return answers


@router.get("/results", responses=errors("not_found"))
async def list_results(
    caller: Called,
    *,
    appointment_id: Annotated[str | None, Query(max_length=64)] = None,
    status: Status | None = None,
    start: Annotated[Day | None, Query(alias="from")] = None,
    end: Annotated[Day | None, Query(alias="to")] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[LabTestAnswer]:
    """Return the user's lab tests with their results, the newest first."""
    # A row is an order with its report, or a report alone; its status and its times are told by both, and its visit by
    # way of its plan. No search of one type can filter or sort that, so both types are read.
    clock = await caller.clock()
    if appointment_id is not None:
        await require_own(caller, "Appointment", appointment_id)
    results = await results_of(caller)
    if appointment_id is not None:
        whole = await Record.of(caller)
        results = [item for item in results if whole.appointment_of(item.order) == appointment_id]
    if status is not None:
        results = [item for item in results if lab_tests.from_fhir(item.order, item.report).status == status]
    results = [item for item in results if lies_between(_dated(item, clock), start, end, clock)]
    page = page_of(caller.server, "lab-tests", results, limit, cursor)
    record = await Record.around(caller, [item.order for item in page.items])
    return Page(items=await lab_test_answers(caller, record, page.items), total=page.total, next=page.next)


def _dated(result: Result, clock: ZoneInfo) -> datetime:
    report = result.report or {}
    stated = (report.get("issued"), report.get("effectiveDateTime"), result.order.get("authoredOn"))
    times = (moment_of(text, clock) for text in stated if text)
    return next(filter(None, times), None) or reading.dated(result.order)


# --- Paying for a test -------------------------------------------------------------------------------------------


async def _order(caller: Caller, lab_test_id: str) -> dict[str, Any]:
    return await own_named(caller, "ServiceRequest", "lab_test_id", lab_test_id)


@router.post("/insurance/verify", responses=errors("invalid_token", "validation_failed", "payer_unavailable"))
async def verify_insurance(body: LabTestAsked, caller: Called) -> VerificationAnswer:
    """Find out whether the user's policy covers a lab test."""
    order = await _order(caller, body.lab_test_id)
    today = clinic_clock.wall_date(now(), await caller.clock())
    return await verify(caller, body, Service(None, today, order))


@router.post("/payment", status_code=201, response_model=LabPaymentAnswer, responses=PAYING_ERRORS)
async def pay_lab_test(body: LabTestPaying, caller: Called, idempotency_key: IdempotencyKey = None) -> Response:
    """Pay for a lab test; nothing is ever charged twice."""
    paying = body.order()
    reference = f"ServiceRequest/{body.lab_test_id}"

    async def run(request_id: str) -> LabPaymentAnswer:
        order = await _order(caller, body.lab_test_id)
        invoice = (await invoices_for(caller.acting, [reference])).get(reference)
        eligibility = await eligibilities(caller.acting, caller.patient_id)
        today = clinic_clock.wall_date(now(), await caller.clock())
        due = due_for(invoice, eligibility, _policy(order, eligibility, reference), reference, today)
        row = Payment(id="new", lab_test_id=body.lab_test_id, amount=body.amount, currency=body.currency)
        return LabPaymentAnswer.of(await pay(caller, row, due, paying, request_id))

    return await once(caller, "lab-tests/payment", idempotency_key, body, run)


def _policy(order: Resource, eligibility: Sequence[Any], reference: str) -> str | None:
    """Return the id of the policy that pays: the one of the order, else the last that was verified for it."""
    own = reading.referenced(order.get("insurance"), "Coverage")
    return own or next((item.coverage_id for item in eligibility if reference in item.items and item.verified), None)
