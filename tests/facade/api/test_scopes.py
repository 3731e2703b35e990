"""Tokens of other apps, which may do less, and the language of those who say none."""

from __future__ import annotations

import pytest

from tests.facade.billing.test_payment import POLICY, VERIFY, paying
from tests.facade.clinic import booking_of, open_clinics, policy_of
from tests.facade.visits.test_clinic import body, due_now, staff_of
from tests.facade_server import PASSWORD, AppUser, Hospital


async def limited(hospital: Hospital, user: AppUser, scopes: str) -> AppUser:
    """Return another app of the user's with a token of these scopes."""
    other = hospital.visitor()
    other.session = await other.ask(
        "POST", "/user/login", {"username": user.session["user"]["email"], "password": PASSWORD}
    )
    # As if the authorization server had issued it so; the user's first one, which has been used, is left to its cache.
    await hospital.services.database.collection("oauth_tokens").update_many({}, {"$set": {"scopes": scopes}})
    return other


async def test_a_token_that_reads_only(hospital: Hospital) -> None:
    """With a token that may only read nobody arrives, ends a visit, books, pays, or adds a document."""
    await open_clinics(hospital)
    mara = await hospital.sign_up("mara")
    appointment = await due_now(hospital, mara)
    other = await limited(hospital, mara, "patient/*.rs")
    for method, path, values in (
        ("POST", "/clinic/arrival", body(appointment)),
        ("POST", "/clinic/visit/complete", body(appointment)),
        ("POST", "/booking/appointments", booking_of("10:00")),
        ("POST", "/booking/payment", paying(appointment)),
        ("PUT", "/user/profile", {"first_name": "X"}),
        ("POST", "/user/family", {"name": "Ada", "relation": "child", "dob": "2019-05-01"}),
    ):
        await other.refused("forbidden", method, path, values)
    form, files = {"document_type": "scan"}, {"file": ("scan.png", b"\x89PNG", "image/png")}
    await other.refused("forbidden", "POST", "/history/documents", data=form, files=files)
    assert (await hospital.fhir("GET", "Encounter"))["total"] == 0
    assert (await other.send("GET", "/user/profile")).status_code == 200


async def test_a_token_for_a_part_of_the_record(hospital: Hospital) -> None:
    """An app to which the user has opened the name and the tests gets neither policies nor the whole record."""
    mara = await hospital.sign_up("mara")
    await hospital.put(policy_of(mara.id))
    other = await limited(hospital, mara, "patient/Patient.rs patient/Observation.rs")
    assert (await other.ask("GET", "/user/profile"))["id"] == mara.id
    await other.refused("forbidden", "POST", VERIFY, POLICY)
    await other.refused("forbidden", "GET", "/user/export")


@pytest.mark.parametrize(
    ("header", "spanish"), [(None, True), ("*", True), ("fr-FR,fr;q=0.9", True), ("en", False), ("fr, en;q=0.1", False)]
)
async def test_the_user_s_own_language(hospital: Hospital, header: str | None, spanish: bool) -> None:
    """Who asks for no language that is spoken here hears the own one, in answers, errors and calendar files."""
    await open_clinics(hospital)
    mara = await hospital.sign_up("mara", language="es-MX")
    headers = {"Accept-Language": header} if header else {}
    verified = await mara.ask("POST", VERIFY, POLICY, headers=headers)
    assert verified["reason"].startswith("No consta") is spanish
    problem = await mara.refused("not_found", "PUT", "/notifications/x/read", headers=headers)
    assert problem["title"].startswith("No existe") is spanish
    faulty = await mara.refused("validation_failed", "PUT", "/user/profile", {"phone": "x"}, headers=headers)
    assert faulty["errors"][0]["message"].startswith("No es un número") is spanish
    unknown = await mara.refused("validation_failed", "GET", "/booking/clinics?x=1", headers=headers)
    assert unknown["errors"][0]["message"].startswith("No existe") is spanish
    unknown = await mara.refused("validation_failed", "GET", "/history/documents?x=1", headers=headers)
    assert unknown["errors"][0]["message"].startswith("No existe") is spanish
    json = {**headers, "Content-Type": "application/json"}
    for method, path, content in (("POST", VERIFY, b"{"), ("PATCH", VERIFY, b""), ("POST", VERIFY, b"x" * 2_000_000)):
        answer = await mara.send(method, path, content=content, headers=json)
        assert answer.status_code in (400, 405, 413)
        assert ("The " not in answer.json()["title"]) is spanish
    booked = await mara.ask("POST", "/booking/appointments", booking_of(), status=201)
    file = await mara.send("GET", f"/booking/appointments/{booked['id']}/calendar", headers=headers)
    assert ("SUMMARY:Cita" in file.text) is spanish


async def test_staff_signs_in(hospital: Hospital) -> None:
    """A member of the staff signs in by the name that the operator gave, and is nobody's row of the users."""
    await open_clinics(hospital)
    await staff_of(hospital, "okpara")
    result = await hospital.visitor().ask("POST", "/user/login", {"username": "okpara", "password": PASSWORD})
    assert (result["user"], result["patient"]) == (None, None)
    assert "user/*.cruds" in result["scope"]
