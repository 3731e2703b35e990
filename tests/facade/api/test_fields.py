"""Every field that the contract names is in the answer, of its type, at each endpoint that answers with JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from tests.facade.clinic import MONDAY, booking_of
from tests.facade.records.test_record import upload
from tests.facade.visits.test_clinic import due_now
from tests.facade.world import World, make_world
from tests.facade_server import PASSWORD, AppUser, Hospital

ID = TEXT = (str,)
NUMBER = (int, float)
MAYBE = (str, type(None))
MOMENT, DAY, CLOCK, MAYBE_MOMENT = "moment", "day", "clock", "moment?"
MONEY = {"amount": NUMBER, "currency": TEXT}
ROW = {"id": ID, "created_at": MOMENT, "updated_at": MOMENT}
USER = {
    **ROW, "first_name": TEXT, "last_name": TEXT, "email": TEXT, "phone": TEXT, "profile_picture": MAYBE,
    "timezone": TEXT, "language": TEXT, "status": {"active"}, "date_of_birth": DAY, "gender": {"female"},
}  # fmt: skip
TOKENS = {
    "access_token": TEXT, "refresh_token": TEXT, "token_type": {"Bearer"}, "expires_in": (int,), "scope": TEXT,
    "patient": ID,
}  # fmt: skip
MEMBER = {**ROW, "user_id": ID, "name": TEXT, "relation": {"child"}, "dob": DAY}
VERIFIED = {
    "verified": {True}, "status": {"active"}, "coverage_id": ID, "covered": {True}, "copay": MONEY, "valid_from": DAY,
    "valid_until": DAY, "reason": TEXT,
}  # fmt: skip
PAYMENT = {
    **ROW, "amount": NUMBER, "currency": {"USD"}, "payment_method": {"card"}, "status": {"completed"},
    "transaction_id": TEXT,
}  # fmt: skip
CLINIC = {
    **ROW, "name": TEXT, "address": TEXT, "city": TEXT, "state": TEXT, "country": TEXT, "postal_code": TEXT,
    "latitude": NUMBER, "longitude": NUMBER, "phone": TEXT, "email": TEXT, "timezone": TEXT,
}  # fmt: skip
SPECIALTY = {**ROW, "clinic_id": ID, "name": TEXT}
DOCTOR = {
    **ROW, "name": TEXT, "specialty_id": ID, "clinic_id": ID, "email": TEXT, "phone": TEXT, "experience_years": (int,),
    "photo": TEXT,
}  # fmt: skip
SLOT = {"id": ID, "start": MOMENT, "end": MOMENT, "status": {"free", "busy"}}
APPOINTMENT = {
    **ROW, "user_id": ID, "doctor_id": ID, "clinic_id": ID, "specialty_id": ID, "appointment_date": DAY,
    "appointment_time": CLOCK, "status": {"scheduled", "rescheduled", "canceled", "completed"}, "start": MOMENT,
    "end": MOMENT, "timezone": TEXT, "family_member_id": MAYBE, "reason": MAYBE, "insurance_coverage_id": MAYBE,
    "amount_due": (dict, type(None)), "refund_status": MAYBE, "slot_id": ID,
}  # fmt: skip
VISIT = {
    **ROW, "appointment_id": ID, "check_in_time": MOMENT, "check_out_time": MAYBE_MOMENT, "current_wait_time": (int,),
    "status": {"arrived", "in_queue", "visited"}, "queue_position": (int, type(None)),
}  # fmt: skip
WAIT = {
    "clinic_id": ID, "doctor_id": ID, "queue_length": (int,), "queue_position": (int,), "current_wait_time": (int,),
    "estimated_start": MOMENT,
}  # fmt: skip
NOTIFICATION = {
    **ROW, "message": TEXT, "is_read": (bool,), "kind": TEXT, "related": (dict, type(None)),
}  # fmt: skip
PRESCRIPTION = {
    **ROW, "treatment_plan_id": ID, "medicine_name": TEXT, "dosage": TEXT, "frequency": TEXT, "duration": TEXT,
    "start_date": DAY, "end_date": DAY, "status": {"active"},
}  # fmt: skip
LAB_TEST = {
    **ROW, "treatment_plan_id": ID, "test_name": TEXT, "result": TEXT, "status": {"completed"},
    "observations": (list,), "report_id": ID, "issued_at": MOMENT,
}  # fmt: skip
OBSERVATION = {"name": TEXT, "value": TEXT, "unit": TEXT, "reference_range": TEXT, "flag": TEXT}
PLAN = {**ROW, "appointment_id": ID, "description": TEXT, "prescriptions": (list,), "lab_tests": (list,)}
DOCUMENT = {
    **ROW, "appointment_id": ID, "document_type": {"lab_report", "scan"}, "title": TEXT, "content_type": TEXT,
    "size": (int,), "file_url": TEXT,
}  # fmt: skip


def require(answer: Mapping[str, Any], fields: Mapping[str, Any]) -> None:
    """Assert that the answer has the fields, of their types."""
    assert fields.keys() <= answer.keys()
    wrong = {name: answer[name] for name, kind in fields.items() if not _is(answer[name], kind)}
    assert wrong == {}


def _is(value: Any, kind: Any) -> bool:
    match kind:
        case "moment" | "moment?":
            return kind == "moment?" if value is None else datetime.fromisoformat(value).tzinfo is not None
        case "day":
            return date.fromisoformat(value).isoformat() == value
        case "clock":
            return f"{datetime.strptime(value, '%H:%M'):%H:%M}" == value
        case set():
            return value in kind
        case dict():
            return isinstance(value, dict) and all(_is(value[name], part) for name, part in kind.items())
    return isinstance(value, kind) and (bool in kind or not isinstance(value, bool))


SIGN_UP = {
    "first_name": "Ines", "last_name": "Abara", "email": "ines@example.org", "phone": "+12075550177",
    "password": PASSWORD, "date_of_birth": "1984-03-12", "gender": "female", "timezone": "Europe/Madrid",
    "language": "es",
}  # fmt: skip


async def test_accounts(hospital: Hospital) -> None:
    """Rows 1 to 11."""
    user = hospital.visitor()
    user.session = await user.ask("POST", "/user/signup", SIGN_UP, status=201)
    require(user.session, {**TOKENS, "user": USER})
    require(await user.ask("POST", "/user/login", {"username": SIGN_UP["email"], "password": PASSWORD}), TOKENS)
    login = await user.ask("POST", "/user/login", {"username": SIGN_UP["phone"], "password": PASSWORD})
    require(login, {**TOKENS, "user": USER})
    require(await user.ask("POST", "/user/token/refresh", {"refresh_token": login["refresh_token"]}), TOKENS)
    require(await user.ask("GET", "/user/profile"), USER)
    picture = {"profile_picture": "https://img.example.org/i.png"}
    require(await user.ask("PUT", "/user/profile", picture), {**USER, "profile_picture": TEXT})
    body = {"name": "Ada", "relation": "child", "dob": "2019-05-01"}
    member = await user.ask("POST", "/user/family", body, status=201)
    require(member, MEMBER)
    path = f"/user/family/{member['id']}"
    require(await user.ask("PUT", path, {"name": "Ada Maria"}), MEMBER)
    require((await user.ask("GET", "/user/family"))["items"][0], MEMBER)
    assert await user.ask("DELETE", path, status=204) is None
    assert (await user.ask("GET", "/user/family"))["items"] == []
    assert (await hospital.fhir("GET", f"RelatedPerson/{member['id']}/_history"))["total"] == 3


async def test_the_catalogue(hospital: Hospital) -> None:
    """Rows 14 to 17."""
    visitor = (await make_world(hospital)).hospital.visitor()
    clinics = await visitor.ask("GET", "/booking/clinics?near=43.65,-70.25")
    require(clinics["items"][0], {**CLINIC, "distance_km": NUMBER})
    require((await visitor.ask("GET", "/booking/specialties?clinic_id=harbour"))["items"][0], SPECIALTY)
    require(
        (await visitor.ask("GET", "/booking/doctors?clinic_id=harbour"))["items"][0],
        {**DOCTOR, "next_available": MOMENT},
    )
    slots = await visitor.ask("GET", f"/booking/doctors/okpara/slots?from={MONDAY}&to={MONDAY}")
    require(slots["items"][0], SLOT)


async def test_booking_and_paying(hospital: Hospital) -> None:
    """Rows 12, 13, 18 to 20, 25 and 28."""
    world = await make_world(hospital)
    mara = world.mara
    coverage = await hospital.fhir("GET", f"Coverage/policy-{mara.id}")
    await hospital.put(coverage | {"period": {"start": "2020-01-01", "end": "2999-12-31"}})
    policy = {"provider": "Solace Mutual", "policy_number": "SOL-1", "specialty_id": "cardiology"}
    require(await mara.ask("POST", "/booking/insurance/verify", policy), VERIFIED)
    more = {"family_member_id": world.ids["member_id"], "insurance_coverage_id": f"policy-{mara.id}", "reason": "Cough"}
    booked = await mara.ask("POST", "/booking/appointments", booking_of("11:00", **more), status=201)
    require(booked, {**APPOINTMENT, **dict.fromkeys(more, TEXT), "amount_due": MONEY, "status": {"scheduled"}})
    paying = {"appointment_id": booked["id"], "amount": 20, "currency": "USD"}
    card = {"payment_method": "card", "card_token": "tok_visa"}
    paid = await mara.ask("POST", "/booking/payment", {**paying, **card}, status=201)
    require(paid, {**PAYMENT, "appointment_id": ID})
    assert paid["amount"] == 20, "what was paid is the copay, and not the whole fee"
    moved = {"appointment_date": MONDAY.isoformat(), "appointment_time": "11:30"}
    path = f"/booking/appointments/{booked['id']}"
    require(await mara.ask("PUT", path, moved), {**APPOINTMENT, "status": {"rescheduled"}})
    embedded = {"clinic": CLINIC, "doctor": DOCTOR, "specialty": SPECIALTY, "payment": PAYMENT}
    newest = (await mara.ask("GET", "/history/appointments"))["items"][0]
    require(newest, {**APPOINTMENT, **embedded})
    assert newest["payment"]["amount"] == 20
    canceled = await mara.ask("DELETE", path)
    require(canceled, {**APPOINTMENT, "status": {"canceled"}, "refund_status": {"pending", "completed"}})
    after = {"appointment_id": world.ids["completed_id"], "slot_id": booked["slot_id"], "reason": "Control"}
    follow_up = await mara.ask("POST", "/follow-up/appointment", after, status=201)
    require(follow_up, {**APPOINTMENT, "follow_up_to": ID, "reason": TEXT})


async def test_the_visit(hospital: Hospital) -> None:
    """Rows 22 to 24."""
    mara = (await make_world(hospital)).mara
    appointment = await due_now(hospital, mara, "11:00")
    body = {"appointment_id": appointment["id"]}
    require(await mara.ask("POST", "/clinic/arrival", body), {**VISIT, "queue_position": (int,)})
    require(await mara.ask("GET", "/clinic/wait-time", params=body), WAIT)
    done = await mara.ask("POST", "/clinic/visit/complete", body)
    require(done, {**VISIT, "status": {"visited"}, "check_out_time": MOMENT})


async def test_the_record(hospital: Hospital) -> None:
    """Rows 26, 27 and 29 to 35, and the upload."""
    world = await make_world(hospital)
    mara, ids = world.mara, world.ids
    plan = await mara.ask("GET", f"/treatment-plan/{ids['appointment_id']}")
    require(plan, PLAN)
    require(plan["prescriptions"][0], PRESCRIPTION)
    require(plan["lab_tests"][0], LAB_TEST)
    body = (await mara.ask("GET", "/lab-tests/results?status=completed"))["items"][0]
    require(body, LAB_TEST)
    require(body["observations"][0], OBSERVATION)
    require((await mara.ask("GET", "/medicine/prescription"))["items"][0], PRESCRIPTION)
    await _require_insured_and_paid(world, mara)
    require((await mara.ask("GET", "/history/documents"))["items"][0], DOCUMENT)
    answer = await upload(mara, title="Knee", appointment_id=ids["appointment_id"])
    require(answer.json(), DOCUMENT)
    response = await mara.ask("GET", "/notifications")
    assert isinstance(response["unread"], int)
    require(next(item for item in response["items"] if item["id"] == "told"), NOTIFICATION)
    require(await mara.ask("PUT", "/notifications/told/read"), {**NOTIFICATION, "is_read": {True}})


async def _require_insured_and_paid(world: World, mara: AppUser) -> None:
    ids = world.ids
    coverage = await world.hospital.fhir("GET", f"Coverage/policy-{mara.id}")
    await world.hospital.put(coverage | {"period": {"start": "2020-01-01", "end": "2999-12-31"}})
    test, medicine = {"lab_test_id": ids["lab_test_id"]}, {"prescription_id": ids["prescription_id"]}
    require(await mara.ask("POST", "/lab-tests/insurance/verify", test), VERIFIED)
    require(await mara.ask("POST", "/medicine/insurance/verify", medicine), VERIFIED)
    paying = {**test, "amount": 30, "currency": "USD", "payment_method": "card", "card_token": "tok_visa"}
    require(await mara.ask("POST", "/lab-tests/payment", paying, status=201), {**PAYMENT, "lab_test_id": ID})
