"""The audit trail tells who signed in, what was granted and taken back, and what the operator did; never a secret."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.cli import accounts
from fhir_server.r4.validation import validate
from fhir_server.store.database.data_directory import StartupError
from tests.smart_server import PASSWORD, SmartServer, answered

Event = dict[str, Any]


async def _events(smart: SmartServer, query: str = "") -> list[Event]:
    """Return what an auditor finds beside FHIR requests, the oldest first; each must be valid."""
    await smart.app.state.audit.flush()
    auditor = smart.fhir(await smart.system_token("system/AuditEvent.rs"))
    page = (await auditor.get(f"AuditEvent?type:not=rest&_sort=_id&_count=200{query}")).json()
    resources = [entry["resource"] for entry in page.get("entry", [])]
    for event in resources:
        assert validate(event, max_depth=100) == []
    return resources


def _name(event: Event) -> str:
    return str(event["subtype"][-1]["code"])


def _details(event: Event) -> dict[str, str]:
    return {each["type"]: each["valueString"] for each in event["entity"][0].get("detail", [])}


def _who(event: Event) -> str | None:
    reference: str | None = event["agent"][0].get("who", {}).get("reference")
    return reference


async def _of(smart: SmartServer, name: str) -> list[Event]:
    return [event for event in await _events(smart, f"&subtype={name}") if _name(event) == name]


async def test_a_launch_is_told_from_sign_in_to_logout(smart: SmartServer) -> None:
    """Login, consent, token, refresh, introspection, revocation and logout: by whom, for which app and patient."""
    await smart.fhir(await smart.system_token("system/Patient.cruds")).put(
        "Patient/a", json={"resourceType": "Patient", "id": "a"}
    )
    anna = await smart.add_user("anna", "patient", "Patient/a")
    app = await smart.add_client(secret=True)
    browser = smart.browser()
    page = await browser.get(app.authorize_url("launch/patient offline_access patient/*.rs"))
    page = await browser.sign_in(page, "anna")
    back = await browser.submit(page, "/oauth/consent", button="approve")
    tokens = (await app.exchange(answered(back)["code"])).json()
    await app.refresh(tokens["refresh_token"])
    basic = {"token": tokens["access_token"], "client_id": app.client_id, "client_secret": app.secret}
    await smart.http.post("/oauth/introspect", data=basic)
    await smart.http.post("/oauth/revoke", data=basic)
    await browser.submit(await browser.get("/oauth/apps"), "/oauth/logout")
    events = [event for event in await _events(smart) if _who(event) == "Patient/a"]
    assert [_name(event) for event in events] == ["login", "consent", "token", "token", "logout"]
    for event in events:
        assert event["agent"][0]["altId"] == anna["id"]
        assert event["outcome"] == "0"
        assert {"reference": "Patient/a"} in [entity.get("what") for entity in event["entity"]]
    login, consent, first, second, logout = events
    assert [each["code"] for each in (login["type"], *login["subtype"])] == ["110114", "110122", "login"]
    assert [each["code"] for each in (logout["type"], *logout["subtype"])] == ["110114", "110123", "logout"]
    for event in (consent, first):
        assert event["agent"][1]["who"]["identifier"]["value"] == app.client_id
        assert set(_details(event)["scope"].split()) == {"launch/patient", "offline_access", "patient/*.rs"}
    assert [_details(event)["grant-type"] for event in (first, second)] == ["authorization_code", "refresh_token"]
    for name in ("introspection", "revocation"):
        (reported,) = await _of(smart, name)
        assert reported["agent"][0]["who"]["identifier"]["value"] == app.client_id
        assert _details(reported)["of-user"] == anna["id"]


async def test_what_fails_is_told_with_the_reason(smart: SmartServer) -> None:
    """A wrong password, an unknown name, too many attempts, a stolen code, a client without proof."""
    await smart.add_user("anna", "patient", "Patient/a")
    app = await smart.add_client(secret=True)
    browser = smart.browser()
    for username in ("anna", "nobody", *["anna"] * 6):
        await browser.sign_in(await browser.get("/oauth/login"), username, "wrong")
    await app.token(grant_type="authorization_code", code="stolen", redirect_uri="x", code_verifier="y")
    app.secret = "guessed"
    await app.token(grant_type="client_credentials", scope="system/*.rs")
    logins = await _of(smart, "login")
    assert {event["outcome"] for event in logins} == {"4"}
    assert _who(logins[0]) == "Patient/a"
    assert logins[0]["outcomeDesc"].startswith("The name or the password")
    assert logins[1]["agent"][0]["who"] == {"identifier": {"value": "unknown"}}
    assert logins[-1]["outcomeDesc"] == "Too many attempts."
    replayed, guessed = [event for event in await _of(smart, "token") if event["outcome"] == "4"]
    assert replayed["outcomeDesc"].startswith("invalid_grant: ")
    assert guessed["outcomeDesc"].startswith("invalid_client: ")
    assert guessed["agent"][0]["who"]["identifier"]["value"] == app.client_id


async def test_a_user_s_refusal_is_told(smart: SmartServer) -> None:
    """Though the app is led back by an ordinary redirect."""
    await smart.add_user("anna", "patient", "Patient/a")
    app = await smart.add_client()
    browser = smart.browser()
    page = await browser.sign_in(await browser.get(app.authorize_url("patient/*.rs")), "anna")
    await browser.submit(page, "/oauth/consent", button="deny")
    (consent,) = await _of(smart, "consent")
    assert (consent["outcome"], consent["outcomeDesc"]) == ("4", "The user did not allow it.")
    assert _who(consent) == "Patient/a"


async def test_what_the_operator_does_is_told(smart: SmartServer) -> None:
    """Users, passwords, clients and keys, by the name of the operator's account; also what was refused.

    A user is told by id: the trail outlives a patient's erasure.
    """
    anna = await smart.add_user("anna", "patient", "Patient/a")
    with pytest.raises(StartupError):
        await smart.add_user("anna", "patient", "Patient/a")
    await accounts.change_password("anna", f"{PASSWORD} 2")(smart.services, smart.store)
    await accounts.disable_user("anna")(smart.services, smart.store)
    app = await smart.add_client(name="Lab app")
    await accounts.remove_client(app.client_id)(smart.services, smart.store)
    await accounts.rotate_keys(smart.services, smart.store)
    events = [event for event in await _events(smart) if "fhir-server" in str(event["agent"])]
    items = [(_name(event), event["outcome"]) for event in events]
    assert items[:7] == [
        ("user-added", "0"), ("user-added", "4"), ("password-changed", "0"), ("user-disabled", "0"),
        ("client-registration", "0"), ("client-removed", "0"), ("key-rotated", "0"),
    ]  # fmt: skip
    assert all(event["agent"][0]["name"] for event in events)
    assert _details(events[0]) == {"id": anna["id"], "role": "patient", "fhirUser": "Patient/a"}
    assert _details(events[4])["name"] == "Lab app"
    assert "anna" not in str(events)


async def test_no_secret_is_told(smart: SmartServer) -> None:
    """No password, code, token, verifier or client secret stands in any event, in no field of its document."""
    await smart.add_user("anna", "patient", "Patient/a")
    app = await smart.add_client(secret=True)
    browser = smart.browser()
    page = await browser.get(app.authorize_url("offline_access patient/*.rs", state="the-state"))
    page = await browser.sign_in(page, "anna", "a password typed wrongly")
    page = await browser.sign_in(page, "a password as a name", "x")
    back = answered(await browser.submit(await browser.sign_in(page, "anna"), "/oauth/consent", button="approve"))
    tokens = (await app.exchange(back["code"])).json()
    await app.refresh(tokens["refresh_token"])
    await smart.http.post(
        "/oauth/revoke", data={"token": tokens["access_token"], "client_id": app.client_id, "client_secret": app.secret}
    )
    await smart.app.state.audit.flush()
    stored = str(await smart.services.database.current("AuditEvent").find({}).to_list())
    assert "consent" in stored
    secrets = [
        PASSWORD, "typed wrongly", "as a name", app.secret or "", app.verifier, back["code"], tokens["access_token"],
        tokens["refresh_token"], "the-state", *browser.http.cookies.values(),
    ]  # fmt: skip
    assert [secret for secret in secrets if secret in stored] == []


async def test_an_event_that_cannot_be_written_down_has_no_answer(smart: SmartServer) -> None:
    """No token is handed out without a trace."""
    app = await smart.add_client("system/*.rs", secret=True, redirect_uris=[])
    trail = smart.app.state.audit

    def full(line: bytes) -> None:
        raise OSError(28, "No space left on device")

    append, trail._journal.append = trail._journal.append, full
    try:
        answer = await app.token(grant_type="client_credentials", scope="system/*.rs")
    finally:
        trail._journal.append = append
    assert answer.status_code == 503
    assert "access_token" not in answer.text
