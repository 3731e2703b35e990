"""private_key_jwt: what proves a client, and every way in which it must not."""

from __future__ import annotations

import base64
import hmac
import json
import time
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from fhir_server.auth.clients import assertions as client_assertions
from fhir_server.auth.clients.assertions import Invalid
from fhir_server.auth.clients.client import Client
from fhir_server.auth.clients.jwks import ClientKeys
from fhir_server.auth.outbound import Fetched
from fhir_server.auth.permission.scopes import parse_scopes

AUDIENCE = "https://server.test/oauth/token"
RSA = RSAKey.generate_key(2048)
EC = ECKey.generate_key("P-384")
OTHER = RSAKey.generate_key(2048)
URI = "https://client.test/jwks"


def _public(key: Any, kid: str) -> dict[str, Any]:
    return {**key.as_dict(private=False), "kid": kid, "use": "sig"}


JWKS = {"keys": [_public(RSA, "rsa"), _public(EC, "ec"), _public(RSA, "twice"), _public(OTHER, "twice")]}


def _client(**overrides: Any) -> Client:
    return Client("c1", "Client", "private_key_jwt", parse_scopes("system/*.rs"), **{"jwks": JWKS, **overrides})


def _claims(**changes: Any) -> dict[str, Any]:
    claims = {"iss": "c1", "sub": "c1", "aud": AUDIENCE, "exp": int(time.time()) + 120, "jti": "one", **changes}
    return {name: value for name, value in claims.items() if value is not ...}


def _signed(header: dict[str, Any] | None = None, key: Any = RSA, **changes: Any) -> str:
    full = {"alg": "RS384", "kid": "rsa", "typ": "JWT", **(header or {})}
    return jwt.encode(full, _claims(**changes), key, algorithms=[full["alg"]])


async def _never(url: str) -> Fetched:
    raise AssertionError(f"{url} was fetched")


async def _verify(text: str, client: Client | None = None, keys: ClientKeys | None = None) -> client_assertions.Proof:
    assertion = client_assertions.read(text)
    return await client_assertions.verify(assertion, client or _client(), keys or ClientKeys(_never), (AUDIENCE,))


async def test_rs384_and_es384_prove_a_client() -> None:
    """Checklist 8: both algorithms that SMART demands are taken, with just the claims that SMART demands."""
    assert (await _verify(_signed())).client_id == "c1"
    assert (await _verify(_signed({"alg": "ES384", "kid": "ec"}, EC))).jti == "one"
    assert (await _verify(_signed(aud=["https://elsewhere.test", AUDIENCE]))).client_id == "c1"


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "https://server.test/oauth/introspect"},
        {"aud": ...},
        {"aud": AUDIENCE + "/"},
        {"exp": ...},
        {"exp": int(time.time()) - 60},
        {"exp": int(time.time()) + 3600},
        {"exp": str(int(time.time()) + 100)},
        {"exp": True},
        {"exp": 1e400},
        {"nbf": int(time.time()) + 3600},
        {"iat": "now"},
        {"jti": ...},
        {"jti": ""},
        {"jti": 7},
        {"jti": "x" * 1000},
        {"iss": "c2", "sub": "c2"},
        {"sub": "c2"},
        {"iss": ...},
        {"iss": {"$ne": None}, "sub": {"$ne": None}},
    ],
)
async def test_wrong_claims_prove_nothing(changes: dict[str, Any]) -> None:
    """Checklist 8, attacks 17 and 19: iss, sub, aud, exp, nbf and jti are all checked."""
    with pytest.raises(Invalid):
        await _verify(_signed(**changes))


@pytest.mark.parametrize(
    "header",
    [
        {"kid": "unknown"},
        {"kid": "twice"},
        {"kid": "ec"},
        {"kid": "../../rsa"},
        {"kid": "' OR 1=1"},
        {"kid": "\x00"},
        {"kid": "x" * 5000},
        {"kid": "http://169.254.169.254/"},
        {"jku": "http://169.254.169.254/latest"},
        {"jku": "https://evil.test/jwks"},
        {"typ": "at+jwt"},
    ],
)
async def test_a_strange_header_proves_nothing_and_fetches_nothing(header: dict[str, Any]) -> None:
    """Attack 18: the key is exactly one of the registered, of the right type; a jku is the registered URL."""
    with pytest.raises(Invalid):
        await _verify(_signed(header))


@pytest.mark.parametrize("kid", [{"$ne": None}, ["rsa"], None, 5, ""])
async def test_a_kid_that_is_no_text_proves_nothing(kid: Any) -> None:
    """Attack 18: {"$ne": null} and its like are refused before anything is looked up."""
    with pytest.raises(Invalid):
        await _verify(_forged({"alg": "RS384", "typ": "JWT", "kid": kid}))


@pytest.mark.parametrize("name", ["jwk", "x5c", "x5u", "crit"])
async def test_a_header_that_brings_its_own_key_proves_nothing(name: str) -> None:
    """Attacks 14 and 18: keys in the header are not looked at."""
    with pytest.raises(Invalid):
        await _verify(_forged({"alg": "RS384", "typ": "JWT", "kid": "rsa", name: OTHER.as_dict(private=False)}))


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "HS384", "HS256", "RS256", "PS384", ""])
async def test_other_algorithms_prove_nothing(algorithm: str) -> None:
    """Attack 17: alg none in any case, HMAC keyed with the public key, and weaker algorithms."""
    text = _forged({"alg": algorithm, "kid": "rsa"})
    if algorithm.startswith("HS"):
        signed = text.rpartition(".")[0]
        digest = hmac.digest(RSA.as_pem(private=False), signed.encode(), f"sha{algorithm[2:]}")
        text = f"{signed}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"
    with pytest.raises(Invalid):
        await _verify(text)


async def test_a_changed_or_cut_signature_proves_nothing() -> None:
    """Attack 17: tampered claims, a cut signature, a foreign key under our kid."""
    header, _, signature = _signed().split(".")
    other = _signed(jti="two").split(".")[1]
    for text in (
        f"{header}.{other}.{signature}",
        f"{header}.{other}.",
        _signed()[:-4],
        _signed(key=OTHER),
        "a.b.c",
        "x",
    ):
        with pytest.raises(Invalid):
            await _verify(text)


def _forged(header: dict[str, Any]) -> str:
    parts = [json.dumps(part).encode() for part in (header, _claims())]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts) + ".c2ln"


class _Remote:
    """A jwks_uri whose fetches are counted, with a clock of its own."""

    def __init__(self, max_age: int | None) -> None:
        self.fetches = 0
        self.time = 1000.0
        self.body = json.dumps(JWKS).encode()
        self.max_age = max_age
        self.keys = ClientKeys(self.fetch, lambda: self.time)

    async def fetch(self, url: str) -> Fetched:
        assert url == URI
        self.fetches += 1
        return Fetched(self.body, self.max_age)

    async def verify(self, text: str) -> None:
        await _verify(text, _client(jwks=None, jwks_uri=URI), self.keys)


async def test_a_fetched_jwks_is_kept_as_long_as_it_may_be() -> None:
    """Checklist 8: cached for max-age and not longer."""
    remote = _Remote(max_age=60)
    await remote.verify(_signed())
    await remote.verify(_signed({"jku": URI}))
    remote.time += 59
    await remote.verify(_signed())
    assert remote.fetches == 1
    remote.time += 2
    await remote.verify(_signed())
    assert remote.fetches == 2


async def test_an_unknown_kid_fetches_again_but_not_at_will() -> None:
    """Checklist 8: a new key is found before the cache expires, and a flood of unknown ones is not passed on."""
    remote = _Remote(max_age=3600)
    await remote.verify(_signed())
    for _ in range(5):
        with pytest.raises(Invalid):
            await remote.verify(_signed({"kid": "new"}))
    assert remote.fetches == 1
    remote.time += 31
    remote.body = json.dumps({"keys": [_public(RSA, "new")]}).encode()
    await remote.verify(_signed({"kid": "new"}))
    assert remote.fetches == 2


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"keys": 1}', b'{"keys": [1]}', b"\xff"])
async def test_a_jwks_that_is_none_proves_nothing(body: bytes) -> None:
    """Whatever a jwks_uri answers, the client is refused and not the server at fault."""
    remote = _Remote(max_age=None)
    remote.body = body
    with pytest.raises(Invalid):
        await remote.verify(_signed())
