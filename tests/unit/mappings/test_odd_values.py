"""What anybody may write over FHIR makes no fault where it is read as a row, nor hides the rest of the row."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.hospital.odd_rows import READERS
from fhir_server.own_urls import own_url
from mappings.accounts import user_family, users
from mappings.billing import payments
from mappings.booking import appointments
from mappings.catalogue import availability, clinics, doctors, specialties
from mappings.insurance import insurance
from mappings.notifications import notifications
from mappings.records import lab_tests, medical_documents, prescriptions, treatment_plans
from mappings.shared import odd_values
from mappings.shared.elements import TIMEZONE
from mappings.shared.extensions import EXTENSIONS
from mappings.shared.money import Money
from mappings.shared.rows import Row
from mappings.visits import visit_tracking, waiting

AT = datetime(2026, 3, 9, 14, tzinfo=UTC)
TIMES: dict[str, Any] = {"created_at": AT, "updated_at": AT}
FEE = Money(amount=Decimal(90), currency="USD")


def whole() -> list[dict[str, Any]]:
    """Return a resource of every table with a value in every column."""
    payment = payments.Payment(id="p", appointment_id="a", amount=Decimal(9), payment_method="card", **TIMES)
    doctor = doctors.Doctor(id="d", name="Dr. X", clinic_id="c", specialty_id="s", experience_years=9, **TIMES)
    return [
        users.to_fhir(users.User(id="u", first_name="Mara", email="m@example.org", timezone="UTC", language="es",
                                 date_of_birth=date(1990, 1, 1), gender="female", **TIMES))[0],
        user_family.to_fhir(user_family.FamilyMember(id="f", user_id="u", name="Ana", dob=date(2020, 1, 1), **TIMES)),
        clinics.to_fhir(clinics.Clinic(id="c", name="Harbour", city="Portland", latitude=Decimal(43), phone="1",
                                       longitude=Decimal(-70), timezone="America/New_York", **TIMES)),
        specialties.to_fhir(specialties.Specialty(id="s", clinic_id="c", name="Cardiology", fee=FEE, **TIMES)),
        doctors.to_fhir(doctor).practitioner,
        appointments.to_fhir(
            appointments.Appointment(id="a", user_id="u", doctor_id="d", clinic_id="c", appointment_date=AT.date(),
                                     appointment_time=AT.time(), slot_ids=("s",), reason="x", follows="b", **TIMES),
            ZoneInfo("UTC")),
        payments.to_fhir(payment, user_id="u", at=AT, description="x").invoice,
        treatment_plans.to_fhir(treatment_plans.TreatmentPlan(id="t", appointment_id="a", description="x", **TIMES),
                                user_id="u"),
        prescriptions.to_fhir(
            prescriptions.Prescription(id="m", medicine_name="x", dosage="500 mg", frequency="2x daily",
                                       duration="7 days", **TIMES), user_id="u"),
        lab_tests.to_fhir(lab_tests.LabTest(id="l", test_name="x", treatment_plan_id="t", **TIMES), user_id="u").order,
        medical_documents.to_fhir(
            medical_documents.MedicalDocument(id="o", user_id="u", title="x", content_type="text/plain", **TIMES),
            at=AT, data=b"x").document,
        notifications.to_fhir(
            notifications.Notification(id="n", user_id="u", message="x", kind="result_ready", is_read=True, **TIMES),
            at=AT, language="en", translations={"es": "y"}),
        visit_tracking.to_fhir(
            visit_tracking.Visit(id="v", appointment_id="a", check_in_time=AT, check_out_time=AT, status="in_queue",
                                 current_wait_time=5, **TIMES), user_id="u", doctor_id="d", clinic_id="c"),
        insurance.to_fhir(insurance.Policy(id="i", user_id="u", provider="x", policy_number="1", valid_from=AT.date(),
                                           valid_until=AT.date(), **TIMES)),
    ]  # fmt: skip


WHOLE = {resource["resourceType"]: resource for resource in whole()}
TEXTS = st.sampled_from(["", " ", "\t", "x", "Mars/Base", "-", "0001-01-01", "9999-12-31", "2026", "2026-13", "24:00",
                         "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:60-12:00", "2026-02-30", "usd", "x" * 300,
                         "Patient/", "//", "\u00a0"])  # fmt: skip
NUMBERS = st.sampled_from([0, -1, 2**31, Decimal("1e30"), Decimal("-0.00001"), Decimal(10) ** 34, 10**40])
ANYTHING = st.one_of(TEXTS, NUMBERS, st.booleans(), st.just({}), st.just({"value": "x"}), st.just({"currency": "usd"}))


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every place in a resource as its container and its name there."""
    if isinstance(value, dict | list):
        for name in list(value) if isinstance(value, dict) else range(len(value)):
            if name not in ("resourceType", "id"):
                yield value, name
                yield from places(value[name])


def odd(draw: Any, container: Any, name: Any) -> None:
    """Change one place into something that FHIR's types allow there, if not its meaning."""
    value = container[name] if isinstance(container, list) or name in container else None
    if isinstance(container, dict) and str(name).startswith("value") and "url" in container:
        del container[name]
        kind = draw(
            st.sampled_from(["String", "Integer", "Decimal", "Code", "Money", "Boolean", "Instant", "Duration"])
        )
        container[f"value{kind}"] = draw(ANYTHING)
    elif isinstance(value, str) and name != "url":
        container[name] = draw(TEXTS)
    elif isinstance(value, int | Decimal) and not isinstance(value, bool):
        container[name] = draw(NUMBERS)
    elif isinstance(container, dict):
        del container[name]
        if isinstance(value, bool | str):
            container[f"_{name}"] = {"extension": [{"url": "https://example.org/why", "valueCode": "masked"}]}


@pytest.mark.parametrize("resource_type", sorted(READERS))
@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_no_value_makes_a_fault(resource_type: str, data: st.DataObject) -> None:
    """A resource with odd values anywhere is still read as a row, and as whatever else is read of it."""
    resource = copy.deepcopy(WHOLE[resource_type])
    for _ in range(data.draw(st.integers(1, 4))):
        rows = list(places(resource))
        if rows:
            container, name = data.draw(st.sampled_from(rows))
            if isinstance(container, list) or name in container:
                odd(data.draw, container, name)
    row = READERS[resource_type](resource)
    assert row.id == resource["id"]
    row.model_dump_json()
    if resource_type == "MedicationRequest":
        prescriptions.taken_between(resource)
    if resource_type == "Encounter":
        waiting.queue([resource, WHOLE["Encounter"]], 30).wait_minutes()


@pytest.mark.parametrize("definition", EXTENSIONS, ids=lambda definition: definition.name)
@pytest.mark.parametrize(
    "value",
    [
        {"valueDecimal": Decimal("-0.5")},
        {"valueInteger": -7},
        {"valueMoney": {"currency": "usd"}},
        {"valueCode": " "},
        {},
    ],
    ids=str,
)
def test_no_extension_makes_a_fault(definition: Any, value: dict[str, Any]) -> None:
    """The hospital's extension with a value of any other type is as good as none, and one of the right type counts."""
    for resource_type, read in READERS.items():
        if resource_type in definition.contexts:
            kept = [
                item
                for item in WHOLE[resource_type].get("extension", ())
                if item["url"] != own_url("StructureDefinition", definition.name)
            ]
            mark = {"url": own_url("StructureDefinition", definition.name), **value}
            without = read({**WHOLE[resource_type], "extension": kept})
            with_it = read({**WHOLE[resource_type], "extension": [mark, *kept]})
            assert with_it.model_dump() == without.model_dump()
    role = {"extension": [{"url": own_url("StructureDefinition", "slot-minutes"), **value}]}
    assert availability.said_minutes(role) is None


def test_an_odd_column_does_not_hide_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A blank name and a zone that is none are null; the rest is shown, and the log names them once and no value."""
    zone = {"url": TIMEZONE, "valueCode": "Mars/Base"}
    resource = {**WHOLE["Location"], "id": "odd-1", "name": " ", "extension": [zone]}
    collected: list[tuple[str, str, list[str]]] = []
    recorder = SimpleNamespace(
        warning=lambda event, *, resource, version, odd: collected.append((event, resource, odd))
    )
    monkeypatch.setattr(odd_values, "_logged", OrderedDict())
    monkeypatch.setattr(odd_values, "log", recorder)
    rows: list[Row] = [clinics.from_fhir(resource) for _ in range(2)]
    row = rows[0]
    assert isinstance(row, clinics.Clinic)
    assert (row.name, row.timezone, row.city, row.odd) == (None, None, "Portland", ("name", "timezone"))
    assert collected == [("row.odd", "Location/odd-1", ["name", "timezone"])]


@given(TEXTS)
def test_money_is_money_or_none(text: str) -> None:
    """An amount that cannot be read is none at all, and never nothing to pay."""
    assert Money.from_fhir({"value": 5, "currency": text}) is None
    assert Money.from_fhir({"currency": "USD"}) is None
    assert Money.from_fhir(text) is None
