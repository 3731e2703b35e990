"""The account is the person's: no app, stranger or stale secret changes it, and nobody learns who has one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fhir_server.auth.accounts.passwords import hash_password
from fhir_server.hospital.accounts import accounts
from fhir_server.hospital.gateways.smtp import Mail
from fhir_server.store.accounts.accounts import UserStore
from fhir_server.store.database.mongo import Database
from tests.attacks.callers import ask, patient_token
from tests.facade.accounts.test_password_reset import with_mail
from tests.facade.accounts.test_throttle import just_now
from tests.facade_server import PASSWORD, Hospital
from tests.smart_server import PASSWORD as SMART_PASSWORD
from tests.smart_server import SmartServer, smart_server

NEW = "another long phrase 7"
PERSON = {"first_name": "Ines", "last_name": "Abara", "email": "ines@example.org", "phone": "+12075550177"}


@pytest.fixture
async def smart(database: Database, mongod_url: str, tmp_path: Path) -> AsyncIterator[SmartServer]:
    """Yield the server with its authorization server."""
    async with smart_server(mongod_url, database.name, tmp_path) as server:
        yield server


def _code(mail: Mail) -> str:
    return mail.text.split("\n\n")[1]


async def _login(hospital: Hospital, username: str, password: str = PASSWORD) -> int:
    body = {"username": username, "password": password}
    return (await hospital.visitor().send("POST", "/user/login", body)).status_code


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/user/profile", {"email": "evil@example.org", "current_password": SMART_PASSWORD}),
        ("PUT", "/user/profile", {"phone": "+12075550111", "current_password": SMART_PASSWORD}),
        ("PUT", "/user/password", {"current_password": SMART_PASSWORD, "new_password": NEW}),
        ("GET", "/user/export", None),
        ("DELETE", "/user/profile", {"password": SMART_PASSWORD}),
    ],
)
async def test_an_app_of_somebody_else_does_not_touch_the_account(
    smart: SmartServer, method: str, path: str, body: Any
) -> None:
    """Endpoints of the account refuse every token but one of the hospital's own app, whatever its scopes."""
    system = smart.fhir(await smart.system_token("system/*.cruds"))
    patient = {"resourceType": "Patient", "id": "a", "name": [{"family": "Abara"}]}
    assert (await system.put("Patient/a", json=patient)).status_code == 201
    await smart.add_user("anna", "patient", "Patient/a")
    token = await smart.token_for("anna", "openid patient/*.cruds")
    answer = await smart.http.request(method, path, json=body, headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


async def test_sign_up_does_not_tell_who_has_an_account(hospital: Hospital) -> None:
    """With and without an account the answer is the same; only the holder of the address reads which."""
    await hospital.sign_up("mara")
    mails = with_mail(hospital)
    answers: list[httpx.Response] = []
    for email in ("mara@example.org", "ines@example.org"):
        body = PERSON | {"email": email, "password": PASSWORD}
        answers.append(await hospital.visitor().send("POST", "/user/signup", body))
    assert [(answer.status_code, answer.json()) for answer in answers] == [(202, {"confirmation": "sent"})] * 2
    assert [mail.to for mail in mails] == ["mara@example.org", "ines@example.org"]
    assert await _login(hospital, "ines@example.org") == 401
    body = {"token": _code(mails[1])}
    made = await hospital.visitor().ask("POST", "/user/signup/confirm", body, status=201)
    assert made["user"]["email"] == "ines@example.org"
    await hospital.visitor().refused("invalid_token", "POST", "/user/signup/confirm", body)
    assert await _login(hospital, "ines@example.org") == 200


async def test_a_number_of_somebody_else_is_neither_told_nor_taken(hospital: Hospital) -> None:
    """A sign-up with another account's phone number works, and the number signs in to the other account alone."""
    mara = await hospital.sign_up("mara")
    mails = with_mail(hospital)
    phone = mara.session["user"]["phone"]
    await hospital.visitor().ask("POST", "/user/signup", PERSON | {"phone": phone, "password": NEW}, status=202)
    await hospital.visitor().ask("POST", "/user/signup/confirm", {"token": _code(mails[0])}, status=201)
    assert await _login(hospital, phone) == 200
    assert await _login(hospital, phone, NEW) == 401


async def test_a_new_address_needs_the_password_and_its_confirmation(hospital: Hospital) -> None:
    """A stolen token changes nothing; the new address counts once it confirms, and the old one is told."""
    mara = await hospital.sign_up("mara")
    mails = with_mail(hospital)
    new = {"email": "new@example.org"}
    await mara.refused("validation_failed", "PUT", "/user/profile", new)
    await mara.refused("invalid_credentials", "PUT", "/user/profile", new | {"current_password": "wrong"})
    assert mails == []
    answer = await mara.ask("PUT", "/user/profile", new | {"current_password": PASSWORD})
    assert answer["email"] == "mara@example.org"
    assert [await _login(hospital, name) for name in ("new@example.org", "mara@example.org")] == [401, 200]
    assert {mail.to for mail in mails} == {"mara@example.org", "new@example.org"}
    code = next(_code(mail) for mail in mails if mail.to == "new@example.org")
    confirmed = await hospital.visitor().send("POST", "/user/contact/confirm", {"token": code})
    assert confirmed.status_code == 204
    assert [await _login(hospital, name) for name in ("new@example.org", "mara@example.org")] == [200, 401]
    assert (await mara.ask("GET", "/user/profile"))["email"] == "new@example.org"
    assert mails[-1].to == "mara@example.org"


async def test_a_changed_address_does_not_tell_who_has_it(hospital: Hospital) -> None:
    """Asking for another account's address is answered like any other, and gives no code."""
    mara, _ = await hospital.sign_up("mara"), await hospital.sign_up("noor")
    mails = with_mail(hospital)
    answers = [
        await mara.send("PUT", "/user/profile", {"email": email, "current_password": PASSWORD})
        for email in ("noor@example.org", "free@example.org")
    ]
    assert answers[0].status_code == answers[1].status_code == 200
    assert answers[0].json() == answers[1].json()
    reported = [mail for mail in mails if mail.to == "noor@example.org"]
    assert len(reported) == 1
    assert "code" not in reported[0].text


async def test_what_fhir_says_of_a_patient_is_no_name_to_sign_in_with(hospital: Hospital) -> None:
    """An address written into the Patient signs in nowhere, and takes nothing from the account."""
    mara = await hospital.sign_up("mara")
    patient = await hospital.fhir("GET", f"Patient/{mara.id}")
    for contact in patient["telecom"]:
        contact["value"] = "evil@example.org" if contact["system"] == "email" else contact["value"]
    await hospital.put(patient)
    await mara.ask("PUT", "/user/profile", {"first_name": "Maria"})
    assert [await _login(hospital, name) for name in ("evil@example.org", "mara@example.org")] == [401, 200]
    mails = with_mail(hospital)
    await mara.ask("PUT", "/user/profile", {"phone": "+12075550199", "current_password": PASSWORD})
    await hospital.visitor().send("POST", "/user/contact/confirm", {"token": _code(mails[-1])})
    assert [mail.to for mail in mails] == ["mara@example.org"] * 2


async def test_an_old_code_of_a_mail_ends_with_a_new_password(hospital: Hospital) -> None:
    """A change that was asked for by who knew the old password is not confirmed after the new one is set."""
    mara = await hospital.sign_up("mara")
    mails = with_mail(hospital)
    await mara.ask("PUT", "/user/profile", {"email": "new@example.org", "current_password": PASSWORD})
    body = {"current_password": PASSWORD, "new_password": NEW}
    assert (await mara.send("PUT", "/user/password", body)).status_code == 204
    code = {"token": next(_code(mail) for mail in mails if mail.to == "new@example.org")}
    await hospital.visitor().refused("invalid_token", "POST", "/user/contact/confirm", code)


@pytest.mark.parametrize(
    ("own", "requested"),
    [
        ("strasse@example.org", "straße@example.org"),
        ("mara@strasse.org", "mara@straße.org"),
        ("straße@example.org", "strasse@example.org"),
        ("kim@example.org", "\uff4bim@example.org"),
        ("kim@example.org", "\u212aim@example.org"),
    ],
)
async def test_a_reset_goes_to_the_address_of_the_account(hospital: Hospital, own: str, requested: str) -> None:
    """A spelling that means the same name may be the mailbox of somebody else: the code goes to the holder's own."""
    await hospital.sign_up("mara", email=own)
    mails = with_mail(hospital)
    assert (await hospital.visitor().send("POST", "/user/password/forgot", {"email": requested})).status_code == 202
    assert {mail.to for mail in mails} <= {own}
    await hospital.visitor().send("POST", "/user/password/forgot", {"email": own})
    assert mails[-1].to == own


async def test_no_code_outlives_the_password_that_asked_for_it(hospital: Hospital) -> None:
    """A code that was made while the password changed, or before a command changed it, confirms nothing."""
    mara = await hospital.sign_up("mara")
    mails = with_mail(hospital)
    await mara.ask("PUT", "/user/profile", {"email": "new@example.org", "current_password": PASSWORD})
    code = {"token": next(_code(mail) for mail in mails if mail.to == "new@example.org")}
    users = UserStore(hospital.services.database)
    account = await users.find_by_fhir_user(f"Patient/{mara.id}")
    assert account is not None
    await users.change(account.id, password_hash=await hash_password(NEW))
    await hospital.visitor().refused("invalid_token", "POST", "/user/contact/confirm", code)
    assert [await _login(hospital, name, NEW) for name in ("new@example.org", "mara@example.org")] == [401, 200]


async def test_a_password_that_changes_during_a_confirmation_ends_it(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever of the two comes first, the new address is not the account's against the new password."""
    mara = await hospital.sign_up("mara")
    mails = with_mail(hospital)
    await mara.ask("PUT", "/user/profile", {"email": "new@example.org", "current_password": PASSWORD})
    code = {"token": next(_code(mail) for mail in mails if mail.to == "new@example.org")}
    changing = accounts.change_names

    async def meanwhile(server: Any, account: Any, *contacts: Any, **more: Any) -> None:
        await server.accounts.users.change(account.id, password_hash=await hash_password(NEW))
        await changing(server, account, *contacts, **more)

    monkeypatch.setattr(accounts, "change_names", meanwhile)
    await hospital.visitor().refused("invalid_token", "POST", "/user/contact/confirm", code)
    assert [await _login(hospital, name, NEW) for name in ("new@example.org", "mara@example.org")] == [401, 200]
    patient = await hospital.fhir("GET", f"Patient/{mara.id}")
    assert "new@example.org" not in str(patient)


async def test_an_erased_account_leaves_no_code_behind(hospital: Hospital) -> None:
    """What waits for a confirmation, with the new address in it, goes with the account; so does a reset's code."""
    mara = await hospital.sign_up("mara")
    mails = with_mail(hospital)
    await mara.ask("PUT", "/user/profile", {"email": "new@example.org", "current_password": PASSWORD})
    await hospital.visitor().send("POST", "/user/password/forgot", {"email": "mara@example.org"})
    assert (await mara.send("DELETE", "/user/profile", {"password": PASSWORD})).status_code == 204
    code = {"token": next(_code(mail) for mail in mails if mail.to == "new@example.org")}
    await hospital.visitor().refused("invalid_token", "POST", "/user/contact/confirm", code)
    for kept in ("confirmations", "password_resets"):
        assert await hospital.services.database.collection(kept).count_documents({}) == 0, kept


async def test_nobody_floods_an_address_with_mails(hospital: Hospital) -> None:
    """Sign-ups and changes that name an address, from anywhere and of any spelling, have few mails sent there."""
    mails = with_mail(hospital)
    for number in range(8):
        email = "ines@example.org" if number % 2 else "INES@Example.org"
        body = PERSON | {"email": email, "password": PASSWORD}
        assert (await hospital.visitor().send("POST", "/user/signup", body)).status_code == 202
        await just_now(hospital)
    assert len(mails) == 5


async def test_no_patient_level_write_locks_anybody_out(hospital: Hospital) -> None:
    """Neither the app's token nor another's makes a Patient inactive, deceased or deleted, and the user stays in."""
    mara, bea = await hospital.sign_up("mara"), await hospital.sign_up("bea")
    patch = {"headers": {"Content-Type": "application/json-patch+json"}}
    for who in (mara, bea):
        url = f"/fhir/Patient/{who.id}"
        current = await hospital.fhir("GET", f"Patient/{who.id}")
        for state in ({"active": False}, {"deceasedBoolean": True}):
            changed = {**current, **state}
            name, value = next(iter(state.items()))
            operation = [{"op": "add", "path": f"/{name}", "value": value}]
            entry = {"resource": changed, "request": {"method": "PUT", "url": f"Patient/{who.id}"}}
            bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
            answers = [
                await mara.send("PUT", url, changed),
                await mara.send("PUT", f"/fhir/Patient?_id={who.id}", changed),
                await mara.send("PATCH", url, operation, **patch),
                await mara.send("DELETE", url),
                await mara.send("POST", "/fhir", bundle),
            ]
            assert {answer.status_code for answer in answers} <= {403, 404}
        tokens = [patient_token(who.id), patient_token(who.id, "user/*.cruds")]
        for token in tokens:
            answer = await ask(hospital.services, token, "PUT", f"Patient/{who.id}", {**current, "active": False})
            assert answer.status == 403
        assert await hospital.fhir("GET", f"Patient/{who.id}") == current
    assert [await _login(hospital, f"{name}@example.org") for name in ("mara", "bea")] == [200, 200]


async def test_sign_ups_are_limited_by_address(hospital: Hospital) -> None:
    """One address of the network opens only so many accounts in a while."""
    hospital.services.settings.max_sign_ups = 3
    body = PERSON | {"password": PASSWORD}
    codes = []
    for number in range(4):
        answer = await hospital.visitor().send("POST", "/user/signup", body | {"email": f"a{number}@example.org"})
        codes.append(answer.status_code)
    assert codes == [201, 409, 409, 429]


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "http://img.example.org/a.png",
        "data:text/html;base64,PHNjcmlwdD4=",
        "data:image/svg+xml;base64,PHN2Zz4=",
        "https://",
        "https://user@evil.example/",
        "//evil.example/a.png",
        "file:///etc/passwd",
    ],
)
async def test_a_picture_is_https_or_an_image(hospital: Hospital, url: str) -> None:
    """No other URL becomes the picture of a profile."""
    mara = await hospital.sign_up("mara")
    await mara.refused("validation_failed", "PUT", "/user/profile", {"profile_picture": url})
    for good in ("https://img.example.org/a.png", "data:image/png;base64,iVBORw0KGgo="):
        assert (await mara.ask("PUT", "/user/profile", {"profile_picture": good}))["profile_picture"] == good
