"""A forgotten password."""

from __future__ import annotations

from dataclasses import replace

from fhir_server.hospital.gateways.smtp import Mail
from tests.facade_server import PASSWORD, Hospital

FORGOT, RESET = "/user/password/forgot", "/user/password/reset"
NEW = "another long phrase 7"


def with_mail(hospital: Hospital) -> list[Mail]:
    """Let the server have a mail server, and return the mails that it is given."""
    sent: list[Mail] = []

    async def send(mail: Mail) -> None:
        sent.append(mail)

    app = next(route.app for route in hospital.app.routes if hasattr(getattr(route, "app", None), "openapi"))  # type: ignore[attr-defined]
    app.state.facade = replace(app.state.facade, send_mail=send)
    return sent


async def test_a_new_password(hospital: Hospital) -> None:
    """The secret from the mail sets a new password once, and ends the sessions there were."""
    mara, mails = await hospital.sign_up("mara"), with_mail(hospital)
    answer = await hospital.visitor().send("POST", FORGOT, {"email": "MARA@example.org"})
    assert (answer.status_code, answer.content) == (202, b"")
    (mail,) = mails
    assert mail.to.casefold() == "mara@example.org"
    secret = mail.text.split("\n\n")[1]
    weak = await hospital.visitor().refused(
        "validation_failed", "POST", RESET, {"token": secret, "new_password": "qwertyuiop"}
    )
    assert weak["errors"][0]["field"] == "new_password"
    body = {"token": secret, "new_password": NEW}
    assert (await hospital.visitor().send("POST", RESET, body)).status_code == 204
    await hospital.visitor().refused("invalid_token", "POST", RESET, body)
    await mara.refused("invalid_token", "GET", "/user/profile")
    login = {"username": "mara@example.org", "password": PASSWORD}
    await hospital.visitor().refused("invalid_credentials", "POST", "/user/login", login)
    await hospital.visitor().ask("POST", "/user/login", login | {"password": NEW})


async def test_an_unknown_address(hospital: Hospital) -> None:
    """An address without an account is answered the same, and mailed nothing."""
    mails = with_mail(hospital)
    assert (await hospital.visitor().send("POST", FORGOT, {"email": "no@example.org"})).status_code == 202
    assert mails == []


async def test_only_the_last_secret_works(hospital: Hospital) -> None:
    """Asking again makes the secret before worthless, and asking too often must wait."""
    _, mails = await hospital.sign_up("mara"), with_mail(hospital)
    for _ in range(2):
        await hospital.visitor().send("POST", FORGOT, {"email": "mara@example.org"}, headers={"Accept-Language": "es"})
    first, second = (mail.text.split("\n\n")[1] for mail in mails)
    assert mails[0].language == "es"
    await hospital.visitor().refused("invalid_token", "POST", RESET, {"token": first, "new_password": NEW})
    assert (await hospital.visitor().send("POST", RESET, {"token": second, "new_password": NEW})).status_code == 204
    for _ in range(3):
        await hospital.visitor().send("POST", FORGOT, {"email": "mara@example.org"})
    await hospital.visitor().refused("too_many_attempts", "POST", FORGOT, {"email": "mara@example.org"})
