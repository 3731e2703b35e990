"""The facade's endpoints as the bench asks for them, and the FHIR interactions that each stands for.

Both sides are written for the same user and the same hospital. What FHIR needs to do an endpoint's work is told as a
client would do it by itself: reading what the decision needs, then one write or transaction. Signing up and in, and the
password, are left out: they cost a password's hash.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from fhir_server.own_urls import identifier_key

Ask = tuple[str, str, Any]
"""Method, path and body."""

DOCTOR, CLINIC, SPECIALTY = "ingrid-vasari", "harbour-clinic", "harbour-general-practice"
ROLE = "ingrid-vasari-harbour"


@dataclass(slots=True)
class Scene:
    """A user with a record, and the rows that the endpoints which change something are given, one for each time."""

    patient: str
    appointment: str = ""
    booked: list[dict[str, Any]] = field(default_factory=list)
    arrived: list[dict[str, Any]] = field(default_factory=list)
    seen: list[dict[str, Any]] = field(default_factory=list)
    members: list[dict[str, Any]] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)
    openings: list[tuple[str, str]] = field(default_factory=list)
    """Dates and times that nobody has booked."""


Facade = Callable[[Scene, int], Ask]
Fhir = Callable[[Scene, int], Sequence[Ask]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint; `fhir` are the interactions it stands for."""

    number: int
    name: str
    facade: Facade
    fhir: Fhir


def openings(first: date) -> list[tuple[str, str]]:
    """Return times at which the doctor sees patients, from a Monday on, in weeks without written slots."""
    monday = first + timedelta(days=(7 - first.weekday()) % 7 + 28)
    days = [monday + timedelta(days=day, weeks=week) for week in range(60) for day in range(4)]
    return [(day.isoformat(), f"{hour:02}:{minute:02}") for day in days for hour in (9, 10) for minute in (0, 30)]


def booking(when: tuple[str, str]) -> dict[str, Any]:
    """Return the body that books that time."""
    about = {"doctor_id": DOCTOR, "clinic_id": CLINIC, "specialty_id": SPECIALTY}
    return {**about, "appointment_date": when[0], "appointment_time": when[1]}


def _get(*paths: str) -> list[Ask]:
    return [("GET", path, None) for path in paths]


def _put(resource: dict[str, Any]) -> Ask:
    return "PUT", f"{resource['resourceType']}/{resource['id']}", resource


def _together(*resources: dict[str, Any]) -> Ask:
    entries = [
        {"resource": item, "request": {"method": "PUT", "url": f"{item['resourceType']}/{item['id']}"}}
        for item in resources
    ]
    return "POST", "", {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def _subject(scene: Scene) -> dict[str, str]:
    return {"reference": f"Patient/{scene.patient}"}


def _patient(scene: Scene, n: int) -> dict[str, Any]:
    name = [{"family": f"Bench{n}", "given": ["Ada"]}]
    return {"resourceType": "Patient", "id": scene.patient, "active": True, "name": name}


def _relative(scene: Scene, n: int) -> dict[str, Any]:
    name = [{"text": f"Ida {n}"}]
    return {"resourceType": "RelatedPerson", "id": f"bench-{n}", "patient": _subject(scene), "name": name}


def _slot(n: int, status: str = "busy") -> dict[str, Any]:
    start, end = f"2031-01-01T{n % 24:02}:00:00Z", f"2031-01-01T{n % 24:02}:30:00Z"
    schedule = {"reference": f"Schedule/{ROLE}"}
    return {
        "resourceType": "Slot", "id": f"bench-{n}", "schedule": schedule, "status": status, "start": start, "end": end,
    }  # fmt: skip


def _visit(scene: Scene, n: int, status: str = "booked", name: str = "bench") -> dict[str, Any]:
    people = [f"Patient/{scene.patient}", f"Practitioner/{DOCTOR}", f"Location/{CLINIC}"]
    return {
        "resourceType": "Appointment",
        "id": f"{name}-{n}",
        "status": status,
        "slot": [{"reference": f"Slot/bench-{n}"}],
        "start": f"2031-01-01T{n % 24:02}:00:00Z",
        "end": f"2031-01-01T{n % 24:02}:30:00Z",
        "participant": [{"actor": {"reference": each}, "status": "accepted"} for each in people],
    }


def _encounter(scene: Scene, n: int, status: str) -> dict[str, Any]:
    return {
        "resourceType": "Encounter",
        "id": f"bench-{n}",
        "status": status,
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
        "subject": _subject(scene),
        "appointment": [{"reference": f"Appointment/bench-{n}"}],
        "participant": [{"individual": {"reference": f"Practitioner/{DOCTOR}"}}],
        "location": [{"location": {"reference": f"Location/{CLINIC}"}}],
    }


def _money(value: int) -> dict[str, Any]:
    return {"value": value, "currency": "USD"}


def _invoice(scene: Scene, name: str, n: int, status: str = "issued") -> dict[str, Any]:
    line = {
        "sequence": 1,
        "chargeItemCodeableConcept": {"text": "Visit"},
        "priceComponent": [{"type": "base", "amount": _money(90)}],
    }
    about = {"resourceType": "Invoice", "id": f"{name}-{n}", "status": status, "subject": _subject(scene)}
    return {**about, "lineItem": [line], "totalNet": _money(90), "totalGross": _money(90)}


def _payment(name: str, n: int, outcome: str) -> dict[str, Any]:
    about = {"resourceType": "PaymentReconciliation", "id": f"{name}-{n}", "status": "active", "outcome": outcome}
    return {**about, "created": "2026-01-01", "paymentDate": "2026-01-01", "paymentAmount": _money(90)}


def _eligibility(scene: Scene) -> list[Ask]:
    about = {"status": "active", "purpose": ["validation"], "patient": _subject(scene), "created": "2026-01-01"}
    request = {"resourceType": "CoverageEligibilityRequest", **about, "insurer": {"display": "Solace"}}
    response = {**about, "resourceType": "CoverageEligibilityResponse", "insurer": {"display": "Solace"}}
    response |= {"request": {"display": "r"}, "outcome": "complete"}
    return [
        *_get(f"Coverage?beneficiary=Patient/{scene.patient}&_include=Coverage:payor"),
        ("POST", "CoverageEligibilityRequest", request),
        *_get("InsurancePlan?owned-by=Organization/solace-mutual"),
        ("POST", "CoverageEligibilityResponse", response),
    ]


def _paying(scene: Scene, what: str, name: str, n: int) -> list[Ask]:
    """What paying once by card takes: the thing, its invoice, the attempt before the gateway, the outcome after it."""
    invoice = identifier_key("invoice-for", what)
    return [
        *_get(what, f"Invoice?identifier={invoice}"),
        *_get(
            f"CoverageEligibilityResponse?patient=Patient/{scene.patient}&_include=CoverageEligibilityResponse:request"
        ),
        _together(_invoice(scene, name, n), _payment(name, n, "queued")),
        _together(_invoice(scene, name, n, "balanced"), _payment(name, n, "complete")),
        *_get(f"Invoice/{name}-{n}", f"PaymentReconciliation/{name}-{n}"),
    ]


_PRACTICE = f"PractitionerRole?practitioner=Practitioner/{DOCTOR}&_include=PractitionerRole:practitioner"
_AGENDA = [
    f"{_PRACTICE}&_include=PractitionerRole:location",
    f"Schedule?actor=PractitionerRole/{ROLE}",
    f"Slot?schedule=Schedule/{ROLE}&start=ge2030-01-01&start=lt2030-01-05",
]


def _taking_a_slot(scene: Scene, name: str, n: int) -> list[Ask]:
    return [
        *_get(f"Practitioner/{DOCTOR}", f"Location/{CLINIC}", f"HealthcareService/{SPECIALTY}", *_AGENDA),
        _together(_slot(n), _visit(scene, n, name=name), _invoice(scene, name, n)),
        *_get(f"Appointment/{name}-{n}"),
    ]


def _record(scene: Scene) -> list[Ask]:
    subject = f"subject=Patient/{scene.patient}"
    return _get(f"CarePlan?{subject}", f"Encounter?{subject}")


def _tests(scene: Scene) -> list[Ask]:
    subject = f"subject=Patient/{scene.patient}"
    return _get(f"ServiceRequest?{subject}", f"DiagnosticReport?{subject}&_include=DiagnosticReport:result")


def _appointments(scene: Scene) -> list[Ask]:
    whose = f"Patient/{scene.patient}"
    included = f"Appointment?actor={whose}&_sort=-date&_count=20&_include=Appointment:actor"
    invoices = f"Invoice?subject={whose}&_count=20"
    return _get(f"Appointment?actor={whose}&_count=1000", included, invoices, "PaymentReconciliation?_count=20")


_CARD = {"payment_method": "card", "card_token": "tok_visa", "currency": "USD", "amount": 90}
_POLICY = {"provider": "Solace Mutual", "policy_number": "SOL-1"}

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(5, "profile", lambda s, n: ("GET", "/user/profile", None), lambda s, n: _get(f"Patient/{s.patient}")),
    Endpoint(
        6,
        "change profile",
        lambda s, n: ("PUT", "/user/profile", {"last_name": f"Bench{n}"}),
        lambda s, n: [*_get(f"Patient/{s.patient}"), _put(_patient(s, n))],
    ),
    Endpoint(
        8,
        "family",
        lambda s, n: ("GET", "/user/family", None),
        lambda s, n: _get(f"RelatedPerson?patient=Patient/{s.patient}"),
    ),
    Endpoint(
        9,
        "add to family",
        lambda s, n: ("POST", "/user/family", {"name": "Ida", "relation": "parent", "dob": "1950-01-01"}),
        lambda s, n: [_put(_relative(s, n))],
    ),
    Endpoint(
        10,
        "change family",
        lambda s, n: ("PUT", f"/user/family/{s.members[n]['id']}", {"name": f"Ida {n}"}),
        lambda s, n: [*_get(f"RelatedPerson/bench-{n}"), _put(_relative(s, n + 1) | {"id": f"bench-{n}"})],
    ),
    Endpoint(
        11,
        "remove from family",
        lambda s, n: ("DELETE", f"/user/family/{s.members[n]['id']}", None),
        lambda s, n: [*_get(f"RelatedPerson/bench-{n}"), ("DELETE", f"RelatedPerson/bench-{n}", None)],
    ),
    Endpoint(
        12,
        "verify insurance",
        lambda s, n: ("POST", "/booking/insurance/verify", {**_POLICY, "specialty_id": SPECIALTY}),
        lambda s, n: [*_get(f"HealthcareService/{SPECIALTY}"), *_eligibility(s)],
    ),
    Endpoint(
        14, "clinics", lambda s, n: ("GET", "/booking/clinics", None), lambda s, n: _get("Location?status=active")
    ),
    Endpoint(
        15, "specialties", lambda s, n: ("GET", "/booking/specialties", None), lambda s, n: _get("HealthcareService")
    ),
    Endpoint(
        16,
        "doctors",
        lambda s, n: ("GET", f"/booking/doctors?clinic_id={CLINIC}", None),
        lambda s, n: _get(
            f"PractitionerRole?location=Location/{CLINIC}&_include=PractitionerRole:practitioner"
            "&_include=PractitionerRole:location",
            f"Schedule?actor=PractitionerRole/{ROLE},PractitionerRole/samuel-okpara-harbour",
            f"Slot?schedule=Schedule/{ROLE},Schedule/samuel-okpara-harbour&_count=1000",
        ),
    ),
    Endpoint(
        17,
        "slots",
        lambda s, n: ("GET", f"/booking/doctors/{DOCTOR}/slots?from={s.openings[0][0]}&to={s.openings[8][0]}", None),
        lambda s, n: _get(f"Practitioner/{DOCTOR}", *_AGENDA),
    ),
    Endpoint(
        18,
        "book",
        lambda s, n: ("POST", "/booking/appointments", booking(s.openings[-1 - n])),
        lambda s, n: _taking_a_slot(s, "bench", n),
    ),
    Endpoint(
        13,
        "pay",
        lambda s, n: ("POST", "/booking/payment", {"appointment_id": s.booked[n]["id"], **_CARD}),
        lambda s, n: _paying(s, f"Appointment/{s.appointment}", "bench-pay", n),
    ),
    Endpoint(
        19,
        "reschedule",
        lambda s, n: (
            "PUT",
            f"/booking/appointments/{s.booked[n]['id']}",
            dict(zip(("appointment_date", "appointment_time"), s.openings[-600 - n], strict=True)),
        ),
        lambda s, n: [
            *_get(f"Appointment/bench-{n}", f"Slot/bench-{n}", *_AGENDA),
            _together(_slot(n, "free"), _slot(n + 1000), _visit(s, n, "pending")),
            *_get(f"Appointment/bench-{n}"),
        ],
    ),
    Endpoint(
        21,
        "calendar",
        lambda s, n: ("GET", f"/booking/appointments/{s.appointment}/calendar", None),
        lambda s, n: _get(f"Appointment/{s.appointment}", f"Location/{CLINIC}", f"Practitioner/{DOCTOR}"),
    ),
    Endpoint(
        22,
        "arrive",
        lambda s, n: ("POST", "/clinic/arrival", {"appointment_id": s.booked[n]["id"]}),
        lambda s, n: [
            *_get(f"Appointment/bench-{n}", f"Location/{CLINIC}", f"Encounter?appointment=Appointment/bench-{n}"),
            _together(_encounter(s, n, "arrived"), _visit(s, n, "arrived")),
            *_get(f"Encounter?location=Location/{CLINIC}&date=ge2030-01-01"),
        ],
    ),
    Endpoint(
        23,
        "wait time",
        lambda s, n: ("GET", f"/clinic/wait-time?appointment_id={s.arrived[n]['id']}", None),
        lambda s, n: _get(
            f"Appointment/bench-{n}",
            f"Location/{CLINIC}",
            f"Encounter?appointment=Appointment/bench-{n}",
            f"Encounter?location=Location/{CLINIC}&date=ge2026-01-01&_count=200",
        ),
    ),
    Endpoint(
        24,
        "complete visit",
        lambda s, n: ("POST", "/clinic/visit/complete", {"appointment_id": s.arrived[n]["id"]}),
        lambda s, n: [
            *_get(f"Appointment/bench-{n}", f"Encounter?appointment=Appointment/bench-{n}"),
            _together(_encounter(s, n, "finished"), _visit(s, n, "fulfilled")),
            *_get(f"Encounter/bench-{n}"),
        ],
    ),
    Endpoint(
        25,
        "follow up",
        lambda s, n: (
            "POST",
            "/follow-up/appointment",
            {"appointment_id": s.seen[n]["id"]}
            | dict(zip(("appointment_date", "appointment_time"), s.openings[400 + n], strict=True)),
        ),
        lambda s, n: [*_get(f"Appointment/bench-{n}"), *_taking_a_slot(s, "bench-again", n)],
    ),
    Endpoint(
        20,
        "cancel",
        lambda s, n: ("DELETE", f"/booking/appointments/{s.booked[-1 - n]['id']}", None),
        lambda s, n: [
            *_get(f"Appointment/bench-{n}", f"Slot/bench-{n}", f"Invoice/bench-{n}"),
            _together(_slot(n, "free"), _visit(s, n, "cancelled"), _invoice(s, "bench", n, "cancelled")),
            *_get(f"Appointment/bench-{n}"),
        ],
    ),
    Endpoint(
        26,
        "notifications",
        lambda s, n: ("GET", "/notifications", None),
        lambda s, n: _get(
            f"Communication?recipient=Patient/{s.patient}&_sort=-sent&_count=20",
            f"Communication?recipient=Patient/{s.patient}&received:missing=true&_summary=count",
        ),
    ),
    Endpoint(
        27,
        "read a notification",
        lambda s, n: ("PUT", f"/notifications/{s.notes[n]['id']}/read", None),
        lambda s, n: [
            *_get(f"Communication/{s.notes[n]['id']}"),
            _put(
                {
                    "resourceType": "Communication",
                    "id": s.notes[n]["id"],
                    "status": "completed",
                    "subject": _subject(s),
                    "recipient": [_subject(s)],
                    "received": "2026-01-01T00:00:00Z",
                    "payload": [{"contentString": str(n)}],
                }
            ),
        ],
    ),
    Endpoint(28, "appointments", lambda s, n: ("GET", "/history/appointments", None), lambda s, n: _appointments(s)),
    Endpoint(
        29,
        "treatment plan",
        lambda s, n: ("GET", f"/treatment-plan/{s.appointment}", None),
        lambda s, n: [
            *_get(f"Appointment/{s.appointment}"),
            *_record(s),
            *_get(f"MedicationRequest?subject=Patient/{s.patient}"),
            *_tests(s),
        ],
    ),
    Endpoint(
        30,
        "verify for a test",
        lambda s, n: ("POST", "/lab-tests/insurance/verify", {**_POLICY, "lab_test_id": "bench-test"}),
        lambda s, n: [*_get("ServiceRequest/bench-test"), *_eligibility(s)],
    ),
    Endpoint(
        31,
        "pay for a test",
        lambda s, n: ("POST", "/lab-tests/payment", {**_CARD, "lab_test_id": f"bench-test-{n}"}),
        lambda s, n: _paying(s, f"ServiceRequest/bench-test-{n}", "bench-test-pay", n),
    ),
    Endpoint(32, "results", lambda s, n: ("GET", "/lab-tests/results", None), lambda s, n: [*_record(s), *_tests(s)]),
    Endpoint(
        33,
        "prescriptions",
        lambda s, n: ("GET", "/medicine/prescription", None),
        lambda s, n: [*_record(s), *_get(f"MedicationRequest?subject=Patient/{s.patient}")],
    ),
    Endpoint(
        34,
        "verify for a medicine",
        lambda s, n: ("POST", "/medicine/insurance/verify", {**_POLICY, "prescription_id": "bench-medicine"}),
        lambda s, n: [*_get("MedicationRequest/bench-medicine"), *_eligibility(s)],
    ),
    Endpoint(
        35,
        "documents",
        lambda s, n: ("GET", "/history/documents", None),
        lambda s, n: _get(f"DocumentReference?subject=Patient/{s.patient}"),
    ),
    Endpoint(
        36,
        "download",
        lambda s, n: ("GET", "/history/documents/download?document_id=bench-document", None),
        lambda s, n: _get("DocumentReference/bench-document", "Binary/bench-document"),
    ),
)
LEFT_OUT = {1: "sign up", 2: "log in", 3: "refresh", 4: "log out", 7: "password"}


def record(scene: Scene, times: int) -> list[dict[str, Any]]:
    """Return the resources of the user's record."""
    about = {"subject": _subject(scene), "status": "active", "intent": "order"}
    test = {"resourceType": "ServiceRequest", **about, "code": {"text": "Lipids"}}
    plan = {"resourceType": "CarePlan", "id": "bench-plan", **about, "description": "Rest"}
    plan["supportingInfo"] = [{"reference": f"Appointment/{scene.appointment}"}]
    test_plan = [{"reference": "CarePlan/bench-plan"}]
    report = {"resourceType": "DiagnosticReport", "id": "bench-report", "status": "final", "subject": _subject(scene)}
    report |= {"code": {"text": "Lipids"}, "basedOn": [{"reference": "ServiceRequest/bench-test"}]}
    value = {"value": 131, "unit": "mg/dL"}
    observation = {"resourceType": "Observation", "id": "bench-ldl", "status": "final", "subject": _subject(scene)}
    observation |= {"code": {"text": "LDL"}, "valueQuantity": value}
    policy = {"resourceType": "Coverage", "id": "bench-policy", "status": "active", "beneficiary": _subject(scene)}
    policy |= {"payor": [{"reference": "Organization/solace-mutual", "display": "Solace Mutual"}]}
    file = {"contentType": "application/pdf", "url": "Binary/bench-document"}
    document = {"resourceType": "DocumentReference", "id": "bench-document", "status": "current"}
    medicine = {"resourceType": "MedicationRequest", "id": "bench-medicine", **about}
    content = {"resourceType": "Binary", "id": "bench-document", "contentType": "application/pdf"}
    return [
        plan,
        test | {"id": "bench-test", "basedOn": test_plan},
        *(test | {"id": f"bench-test-{n}"} for n in range(times)),
        observation,
        report | {"result": [{"reference": "Observation/bench-ldl"}]},
        medicine | {"medicationCodeableConcept": {"text": "Lisinopril"}, "basedOn": test_plan},
        content | {"securityContext": _subject(scene), "data": "JVBERi0xLjQK" * 100},
        document | {"subject": _subject(scene), "content": [{"attachment": file}]},
        policy | {"identifier": [{"value": "SOL-1"}], "period": {"start": "2020-01-01"}},
    ]


def encoded(body: Any) -> bytes:
    """Return a body as bytes."""
    return b"" if body is None else json.dumps(body).encode()
