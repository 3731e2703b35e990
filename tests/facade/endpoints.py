"""The contract as a table: a row for each endpoint, with a request that it takes and the errors that it may answer.

In paths, queries and bodies `{name}` stands for an id of the world that the tests are in (`tests.facade.world`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.facade.clinic import MONDAY
from tests.facade_server import PASSWORD

_FREE = {"appointment_date": MONDAY.isoformat(), "appointment_time": "11:30"}
_DOCTOR = {"doctor_id": "okpara", "clinic_id": "harbour", "specialty_id": "cardiology"}
_CARD = {"currency": "USD", "payment_method": "card", "card_token": "tok_visa"}
_POLICY = {"provider": "Solace Mutual", "policy_number": "SOL-1"}
_PERSON = {"first_name": "Ines", "last_name": "Abara", "email": "ines@example.org", "phone": "+12075550177"}
_PAYING = (
    "payment_declined already_paid appointment_canceled amount_mismatch insurance_not_verified gateway_unavailable "
    "request_in_progress idempotency_key_reused"
)
_NAMES = "email_taken phone_taken"
_SLOTS = "slot_taken outside_hours in_the_past too_far_ahead"
_KEYS = "idempotency_key_reused request_in_progress"


@dataclass(frozen=True)
class Endpoint:
    """A row of the contract."""

    number: str
    method: str
    path: str
    codes: frozenset[str]
    """The codes that are the endpoint's own, beyond those of the conventions."""
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    own: tuple[str, ...] = ()
    """Where the request names what is the user's, or would be another's."""
    public: tuple[str, ...] = ()
    """Where it names what is nobody's."""
    open: bool = False
    list: bool = False
    multipart: bool = False

    @property
    def title(self) -> str:
        """The row's number and request line."""
        return f"{self.number} {self.method} {self.path}"

    @property
    def all_codes(self) -> frozenset[str]:
        """The codes with those that follow from the conventions."""
        values = set(self.codes)
        values |= set() if self.open else {"invalid_token"}
        values |= {"validation_failed", "too_large"} if self.body is not None else set()
        values |= {"malformed"} if self.body is not None else set()
        values |= {"bad_cursor", "validation_failed"} if self.list else set()
        named = {*self.own, *self.public}
        values |= {"not_found"} if named & {*self.query, *self.in_path} else set()
        return frozenset(values)

    @property
    def in_path(self) -> frozenset[str]:
        """The names of the path's parameters."""
        return frozenset(part[1:-1] for part in self.path.split("/") if part.startswith("{"))


def _row(number: str, line: str, codes: str = "", **more: Any) -> Endpoint:
    method, path = line.split(" ")
    return Endpoint(number, method, path, frozenset(codes.split()), **more)


def _listed(number: str, line: str, codes: str = "", **more: Any) -> Endpoint:
    return _row(number, line, codes, list=True, **more)


_MEMBER = {"name": "Ada", "relation": "child", "dob": "2019-05-01"}
_APPOINTMENT = "/booking/appointments/{appointment_id}"
_SPAN = {"from": MONDAY.isoformat(), "to": MONDAY.isoformat()}
_BOOKING = {**_DOCTOR, **_FREE, "family_member_id": "{member_id}", "insurance_coverage_id": "{insurance_coverage_id}"}
_VISIT = {"appointment_id": "{appointment_id}"}
_TEST = {"lab_test_id": "{lab_test_id}"}

ENDPOINTS = (
    _row("1", "POST /user/signup", f"{_NAMES} too_many_attempts", body={**_PERSON, "password": PASSWORD}, open=True),
    _row(
        "2",
        "POST /user/login",
        "invalid_credentials too_many_attempts account_inactive second_factor_required second_factor_missing",
        body={"username": "mara@example.org", "password": "wrong"},
        open=True,
    ),
    _row(
        "second factor",
        "POST /user/login/second-factor",
        "invalid_credentials too_many_attempts account_inactive",
        body={"challenge": "unknown", "code": "000000"},
        open=True,
    ),
    _row("3", "POST /user/token/refresh", "invalid_token", body={"refresh_token": "x"}, open=True),
    _row("4", "POST /user/logout"),
    _row("5", "GET /user/profile"),
    _row(
        "6",
        "PUT /user/profile",
        f"{_NAMES} invalid_credentials too_many_attempts",
        body={"first_name": "Mara"},
    ),
    _row(
        "7",
        "PUT /user/password",
        "invalid_credentials too_many_attempts",
        body={"current_password": "wrong", "new_password": "another long phrase 7"},
    ),
    _listed("8", "GET /user/family"),
    _row("9", "POST /user/family", body=_MEMBER),
    _row("10", "PUT /user/family/{member_id}", body={"name": "Ada"}, own=("member_id",)),
    _row("11", "DELETE /user/family/{member_id}", own=("member_id",)),
    _row(
        "12",
        "POST /booking/insurance/verify",
        "payer_unavailable",
        body={**_POLICY, "clinic_id": "harbour", "specialty_id": "cardiology"},
        public=("clinic_id", "specialty_id"),
    ),
    _row("13", "POST /booking/payment", _PAYING, body={**_VISIT, "amount": 90, **_CARD}, own=("appointment_id",)),
    _listed("14", "GET /booking/clinics", open=True),
    _listed("15", "GET /booking/specialties", query={"clinic_id": "harbour"}, public=("clinic_id",), open=True),
    _listed(
        "16",
        "GET /booking/doctors",
        query={"clinic_id": "harbour", "specialty_id": "cardiology"},
        public=("clinic_id", "specialty_id"),
        open=True,
    ),
    _listed(
        "17",
        "GET /booking/doctors/{doctor_id}/slots",
        query={**_SPAN, "clinic_id": "harbour"},
        public=("doctor_id", "clinic_id"),
        open=True,
    ),
    _row(
        "18",
        "POST /booking/appointments",
        f"{_SLOTS} {_KEYS}",
        body=_BOOKING,
        own=("family_member_id", "insurance_coverage_id"),
        public=("doctor_id", "clinic_id", "specialty_id"),
    ),
    _row("19", f"PUT {_APPOINTMENT}", f"{_SLOTS} not_reschedulable", body=_FREE, own=("appointment_id",)),
    _row("20", f"DELETE {_APPOINTMENT}", "not_reschedulable", own=("appointment_id",)),
    _row("21", f"GET {_APPOINTMENT}/calendar", own=("appointment_id",)),
    _row(
        "22",
        "POST /clinic/arrival",
        "already_arrived too_early too_late too_far appointment_canceled",
        body=_VISIT,
        own=("appointment_id",),
    ),
    _row("23", "GET /clinic/wait-time", "not_arrived validation_failed", query=_VISIT, own=("appointment_id",)),
    _row("24", "POST /clinic/visit/complete", "not_arrived", body=_VISIT, own=("appointment_id",)),
    _row(
        "25",
        "POST /follow-up/appointment",
        f"{_SLOTS} {_KEYS} not_completed",
        body={"appointment_id": "{completed_id}", **_DOCTOR, **_FREE},
        own=("appointment_id",),
        public=("doctor_id", "clinic_id", "specialty_id"),
    ),
    _listed("26", "GET /notifications"),
    _row("27", "PUT /notifications/{notification_id}/read", own=("notification_id",)),
    _listed("28", "GET /history/appointments"),
    _row("29", "GET /treatment-plan/{appointment_id}", own=("appointment_id",)),
    _row(
        "30",
        "POST /lab-tests/insurance/verify",
        "payer_unavailable",
        body={**_TEST, **_POLICY},
        own=("lab_test_id",),
    ),
    _row("31", "POST /lab-tests/payment", _PAYING, body={**_TEST, "amount": 30, **_CARD}, own=("lab_test_id",)),
    _listed("32", "GET /lab-tests/results", query=_VISIT, own=("appointment_id",)),
    _listed("33", "GET /medicine/prescription", query=_VISIT, own=("appointment_id",)),
    _row(
        "34",
        "POST /medicine/insurance/verify",
        "payer_unavailable",
        body={"prescription_id": "{prescription_id}", **_POLICY},
        own=("prescription_id",),
    ),
    _listed("35", "GET /history/documents"),
    _row(
        "36",
        "GET /history/documents/download",
        "range_not_satisfiable",
        query={"document_id": "{document_id}"},
        own=("document_id",),
    ),
    _row("forgot", "POST /user/password/forgot", "too_many_attempts", body={"email": "no@example.org"}, open=True),
    _row(
        "reset",
        "POST /user/password/reset",
        "invalid_token",
        body={"token": "x", "new_password": "another long phrase 7"},
        open=True,
    ),
    _row(
        "signup confirm",
        "POST /user/signup/confirm",
        "invalid_token email_taken",
        body={"token": "unknown"},
        open=True,
    ),
    _row(
        "contact confirm",
        "POST /user/contact/confirm",
        "invalid_token email_taken conflict",
        body={"token": "unknown"},
        open=True,
    ),
    _row("export", "GET /user/export"),
    _row("erase", "DELETE /user/profile", "invalid_credentials too_many_attempts", body={"password": "wrong"}),
    _row("stream", "GET /notifications/stream", "too_many_streams"),
    _row(
        "upload",
        "POST /history/documents",
        body={"document_type": "scan", "title": "Knee", "appointment_id": "{appointment_id}"},
        own=("appointment_id",),
        multipart=True,
    ),
)
BY_NUMBER = {endpoint.number: endpoint for endpoint in ENDPOINTS}
