"""Attacks with access tokens of other issuers: what is forged, stale, for others or of another kind opens nothing."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from fhir_server.auth.outbound import Refused
from fhir_server.auth.tokens.key_sets import KeySets
from fhir_server.engine.providers import tokens
from tests.attacks.providers.test_sign_in import _by_public_key, _unsigned, _with_own_key
from tests.identity_provider import CLIENT, DOCTOR, IdentityProvider, reachable
from tests.providers.test_tokens import TOKENS, access_token, issuer, opaque, status
from tests.smart_server import BASE, SmartServer

__all__ = ["issuer"]


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "https://another.test/fhir"},
        {"aud": CLIENT},
        {"aud": None},
        {"aud": [["x"], {"a": 1}, None]},
        {"iss": "https://evil.test"},
        {"iss": None},
        {"exp": 1},
        {"exp": None},
        {"exp": "2099"},
        {"exp": float("inf")},
        {"nbf": 4102444800},
        {"iat": 4102444800},
        {"client_id": None},
        {"sub": "nobody", "fhirUser": None},
        {"sub": "nobody", "fhirUser": "Practitioner/none"},
        {"sub": "nobody", "fhirUser": "https://evil.test/fhir/Practitioner/ingrid"},
        {"sub": "nobody", "fhirUser": "Practitioner/ingrid/../tom"},
        {"groups": []},
        {"groups": ["others"]},
        {"cnf": {"jkt": "x"}},
        {"nonce": "n"},
        {"at_hash": "h"},
        {"typ": "ID"},
        {"typ": "Refresh"},
        {"events": {}},
    ],
)
async def test_a_token_that_is_not_for_this(
    hospital: SmartServer, issuer: IdentityProvider, changes: dict[str, Any]
) -> None:
    """Another's, of another time or kind, bound to a key, about nobody: 401, as JWT and by introspection."""
    assert await status(hospital, access_token(issuer, **changes)) == 401
    if changes.keys() & {"aud", "exp", "cnf"} and changes.get("exp") != float("inf"):
        assert await status(hospital, opaque(issuer, **changes)) == 401


@pytest.mark.parametrize("how", ["none", "hmac", "another key", "jwk", "jku", "typ"])
async def test_a_signature_that_proves_nothing(hospital: SmartServer, issuer: IdentityProvider, how: str) -> None:
    """`alg` none, a public key as a secret, a key of somebody's own, a token of another kind."""
    assert await status(hospital, access_token(issuer)) == 200
    encoders: dict[str, Any] = {
        "none": _unsigned,
        "hmac": _by_public_key(issuer),
        "another key": _with_own_key(),
        "jwk": _with_own_key(jwk=True),
        "jku": _with_own_key(jku="https://evil.test/keys"),
        "typ": lambda header, claims: IdentityProvider.sign(IdentityProvider(key=issuer.key), claims, typ="logout+jwt"),
    }
    issuer.encode = encoders[how]
    assert await status(hospital, access_token(issuer, jti="j2")) == 401


async def test_an_id_token_is_no_access_token(hospital: SmartServer, issuer: IdentityProvider) -> None:
    """Though the issuer signed it for this very server."""
    issuer.claims |= {"aud": [CLIENT, BASE], "azp": CLIENT, "scope": "user/*.rs", "exp": int(time.time()) + 300}
    assert await status(hospital, issuer.id_token("n")) == 401


@pytest.mark.parametrize(
    "text", ["", "x", "eyJ..", "eyJhbGciOiJub25lIn0.e30.", "a.b.c", "eyJ" + "A" * 50_000 + ".e30.x", "\u00e9"]
)
async def test_what_is_no_token(hospital: SmartServer, issuer: IdentityProvider, text: str) -> None:
    """Is a 401 like any other."""
    answer = await hospital.http.get("/fhir/Practitioner/ingrid", headers={"Authorization": f"Bearer {text}".encode()})
    assert answer.status_code == 401


async def test_an_issuer_whose_tokens_are_not_taken(hospital: SmartServer, idp: IdentityProvider) -> None:
    """That users sign in with it is not enough."""
    assert await status(hospital, access_token(idp)) == 401
    assert await status(hospital, opaque(idp)) == 401
    assert "/introspect" not in idp.asked


async def test_a_subject_of_another_issuer(
    hospital: SmartServer, issuer: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither an issuer with keys of its own, nor one whose tokens are taken, says who another's subject is."""
    await issuer.sign_in(hospital.browser())
    other = IdentityProvider("https://other.test", claims=dict(DOCTOR))
    with reachable(monkeypatch, issuer, other):
        assert await status(hospital, access_token(other, iss=issuer.issuer)) == 401
        await other.added_to(hospital, id="other", name="Other", tokens=TOKENS | {"trust_fhir_user": False})
        assert await status(hospital, access_token(other)) == 401
        assert await status(hospital, access_token(other, iss=issuer.issuer)) == 401
        assert await status(hospital, access_token(issuer)) == 200


class _Later:
    """A clock that is ahead."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def time(self) -> float:
        return time.time() + self._seconds


async def test_a_token_after_revocation(
    hospital: SmartServer, issuer: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An opaque one ends when introspection is asked again, a JWT with the session that its issuer has ended."""
    text = opaque(issuer)
    assert await status(hospital, text) == 200
    issuer.opaque.clear()
    with monkeypatch.context() as later:
        later.setattr(tokens, "time", _Later(11))
        assert await status(hospital, text) == 401
    token = access_token(issuer, sid="s1", iat=int(time.time()) - 5)
    assert await status(hospital, token) == 200
    form = {"logout_token": issuer.logout_token()}
    answer = await hospital.http.post("/oauth/providers/idp/back_channel_logout", data=form)
    assert answer.status_code == 200
    assert await status(hospital, token) == 401
    assert await status(hospital, access_token(issuer, sid="s2", jti="other session")) == 200


async def test_an_account_that_is_disabled_here_has_no_token_elsewhere(
    hospital: SmartServer, issuer: IdentityProvider
) -> None:
    """Whatever the issuer still says; at once, though the token was seen before."""
    await issuer.sign_in(hospital.browser())
    token = access_token(issuer, fhirUser=None)
    assert await status(hospital, token) == 200
    user = (await hospital.store.users.all())[0]
    await hospital.store.users.change(user.id, disabled=True)
    await hospital.store.grants.revoke_user(user.id)
    await hospital.store.revocations.announce()
    assert await status(hospital, token) == 401


async def test_no_scope_gives_more_than_the_rule(hospital: SmartServer, issuer: IdentityProvider) -> None:
    """The audit trail is not a doctor's, `system/` no user's, a launch no app's, a Subscription not of this token."""
    token = access_token(issuer, scope="user/*.cruds system/*.cruds patient/*.cruds launch ehr_launch", patient="mara")
    assert await status(hospital, token, "AuditEvent") == 403
    launch = await hospital.http.post(
        "/oauth/launch", json={"client_id": "x", "user": "y"}, headers={"Authorization": f"Bearer {token}"}
    )
    assert launch.status_code == 401
    subscription = {
        "resourceType": "Subscription",
        "status": "requested",
        "reason": "x",
        "criteria": "Practitioner?",
        "channel": {"type": "rest-hook", "endpoint": "https://receiver.test/"},
    }
    assert await status(hospital, token, "Subscription", method="POST", json=subscription) == 403


async def test_requests_with_one_new_token_ask_once(
    hospital: SmartServer, issuer: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many come at once; so does one that is not active, for a moment."""
    text = opaque(issuer)
    assert set(await asyncio.gather(*(status(hospital, text) for _ in range(10)))) == {200}
    assert issuer.asked.count("/introspect") == 1
    for _ in range(5):
        assert await status(hospital, "unheard-of") == 401
    assert issuer.asked.count("/introspect") == 2


async def test_an_issuer_that_is_away_is_a_503(hospital: SmartServer, issuer: IdentityProvider) -> None:
    """For its own tokens; those of this server go on."""
    own = await hospital.system_token("system/Practitioner.rs")
    issuer.silent = True
    assert await status(hospital, access_token(issuer)) == 503
    assert await status(hospital, own) == 200


async def test_unknown_keys_are_not_looked_for_at_will() -> None:
    """A flood of tokens with made-up kids asks once in half a minute; a set that fails is not asked for at once."""
    asked, now = [], [1000.0]

    async def fetch(url: str) -> Any:
        asked.append(url)
        raise Refused("it cannot be fetched")

    sets = KeySets(fetch, lambda: now[0])
    for number in range(20):
        with pytest.raises(Refused):
            await sets.find("https://idp.test/keys", f"k{number}")
    assert len(asked) == 1
    now[0] += 11
    with pytest.raises(Refused):
        await sets.find("https://idp.test/keys", "k")
    assert len(asked) == 2
