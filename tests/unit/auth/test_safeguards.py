"""PKCE, redirect URIs, passwords, throttling, signing keys, fetching: the small rules that hold the rest up."""

from __future__ import annotations

import asyncio

import pytest
from argon2 import PasswordHasher

from fhir_server.auth import outbound
from fhir_server.auth.accounts import passwords
from fhir_server.auth.accounts.passwords import hash_password, verify_password
from fhir_server.auth.accounts.throttle import Count, counts
from fhir_server.auth.clients import redirects
from fhir_server.auth.clients.client import Client, require_valid
from fhir_server.auth.clients.pkce import challenge_of, is_challenge, verifies
from fhir_server.auth.outbound import Refused, fetch, is_public
from fhir_server.auth.permission.scopes import parse_scopes
from fhir_server.auth.tokens.keys import make_key, seal_key, unseal_key
from fhir_server.errors import BadRequest


def test_pkce_takes_the_verifier_and_nothing_like_it() -> None:
    """Checklist 3: absent, blank, wrong, or equal to the challenge is refused; lengths 43 to 128 are taken."""
    for verifier in ("a" * 43, "Z9-._~" * 21, "x" * 128):
        assert is_challenge(challenge_of(verifier))
        assert verifies(verifier, challenge_of(verifier))
    challenge = challenge_of("a" * 43)
    for wrong in ("", " ", challenge, "b" * 43, "a" * 42, "a" * 129, "ä" * 43):
        assert not verifies(wrong, challenge)
    # RFC 7636, appendix B
    assert challenge_of("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk") == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


@pytest.mark.parametrize(
    "uri",
    [
        "http://app.example.org/cb",
        "https://user@app.example.org/cb",
        "https://app.example.org/cb#x",
        "https:///cb",
        "//app.example.org/cb",
        "/cb",
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "myapp:cb",
        "https://app.example.org/c b",
        "https://app.example.org/\r\nLocation: x",
        "https://app.example.org\\@evil.example",
        "https://[::1",
        "https://app.example.org:99999/",
        "",
    ],
)
def test_an_unsafe_redirect_uri_cannot_be_registered(uri: str) -> None:
    """Attacks 2 and 20: plain http elsewhere, user info, fragments, script schemes, line breaks, relative ones."""
    assert redirects.fault(uri) is not None


@pytest.mark.parametrize(
    "uri", ["https://app.example.org/cb?x=1", "http://127.0.0.1:4567/cb", "http://localhost/cb", "org.example.app:/cb"]
)
def test_a_safe_redirect_uri_can_be_registered(uri: str) -> None:
    """https anywhere, http on this machine, and an app's own scheme."""
    assert redirects.fault(uri) is None


@pytest.mark.parametrize(
    "uri",
    [
        "https://app.example.org/cb/",
        "https://app.example.org/cb?x=1",
        "https://app.example.org/cb/../cb",
        "https://app.example.org.evil.example/cb",
        "https://APP.example.org/cb",
        "http://app.example.org/cb",
        "https://app.example.org/cb#",
        "https://app.example.org/%63b",
    ],
)
def test_a_redirect_uri_is_compared_character_by_character(uri: str) -> None:
    """Attack 2: near misses are misses."""
    assert not redirects.is_registered(uri, ["https://app.example.org/cb"])


async def test_a_password_is_verified_against_its_hash_only(
    own_hasher: PasswordHasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Argon2 with the chosen cost; nobody's password is no password, not even the one that stands in for it."""
    monkeypatch.setattr(passwords, "_hasher", own_hasher)
    stored = await hash_password("correct horse")
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await verify_password("correct horse", stored)
    assert not await verify_password("wrong horse", stored)
    assert not await verify_password("the password of no user", None)
    assert not await verify_password("x" * 100_000, stored)
    assert not await verify_password("x", "no hash at all")


def test_failed_sign_ins_wait_longer_and_longer() -> None:
    """The first failures are free; then the wait doubles up to ten minutes."""
    count = Count("x", free=5)
    assert [count.wait(failures) for failures in (0, 4, 5, 6, 8)] == [0, 0, 1, 2, 8]
    assert count.wait(10_000) == 600


def test_the_owner_of_an_account_is_counted_apart_from_its_attackers() -> None:
    """A browser with a device cookie shares no count with other addresses, so it cannot be locked out by them."""
    attacker = {count.key for count in counts("anna", "203.0.113.9", None)}
    assert not attacker & {count.key for count in counts("anna", "203.0.113.9", "device")}
    assert attacker & {count.key for count in counts("anna", "198.51.100.1", None)}
    assert attacker & {count.key for count in counts("berta", "203.0.113.9", None)}


def test_a_signing_key_is_sealed_under_the_master_key_and_its_own_id() -> None:
    """Keys at rest open under the right master key only, and not under another key's name."""
    key = make_key()
    sealed = seal_key(key, b"m" * 32)
    assert b"PRIVATE" not in sealed
    opened = unseal_key(key.id, sealed, key.made, b"m" * 32)
    assert opened is not None
    assert opened.public() == key.public()
    assert unseal_key(key.id, sealed, key.made, b"n" * 32) is None
    assert unseal_key("other", sealed, key.made, b"m" * 32) is None
    assert set(key.public()) == {"kty", "n", "e", "kid", "use", "alg"}


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
        "64:ff9b::7f00:1", "2002:7f00:1::", "fec0::1", "::7f00:1", "64:ff9b:1::7f00:1", "2001:0:7f00:1::",
    ],
)  # fmt: skip
def test_an_internal_address_is_not_public(address: str) -> None:
    """Attack 20: loopback, private, link-local, shared, and IPv4 in IPv6 clothes."""
    assert not is_public(address)


def test_an_address_of_the_internet_is_public() -> None:
    """Ordinary addresses may be fetched from."""
    assert is_public("8.8.8.8")
    assert is_public("2606:4700::1111")


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/jwks",
        "file:///etc/passwd",
        "https://localhost/jwks",
        "https://127.0.0.1/jwks",
        "https://[::1]/",
        "ftp://x/",
        "https://example.org:99999/jwks",
        "https://example.org:-1/jwks",
        "https://example.org:x/jwks",
        "https://[::1/jwks",
    ],
)
async def test_nothing_internal_is_fetched(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attack 20: the URL is refused before any connection is made."""

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("a connection was made")

    monkeypatch.setattr(outbound.httpx, "AsyncClient", refused)
    with pytest.raises(Refused):
        await fetch(url)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": ""},
        {"name": "x\x00"},
        {"redirect_uris": ("javascript:alert(1)",)},
        {"redirect_uris": ()},
        {"authentication": "private_key_jwt"},
        {"jwks": {"keys": []}},
        {"authentication": "private_key_jwt", "jwks": {"keys": [{"kty": "oct", "k": "x"}]}},
        {"authentication": "private_key_jwt", "jwks": {"keys": [{"kty": "RSA", "n": "x", "e": "x", "d": "x"}]}},
        {"authentication": "private_key_jwt", "jwks_uri": "http://client.test/jwks"},
        {"launch_url": "javascript:x"},
    ],
)
def test_a_contradictory_or_unsafe_client_is_refused(changes: dict[str, object]) -> None:
    """Attack 20: what registers itself is held to the rules of registration."""
    form: dict[str, object] = {"redirect_uris": ("https://app.test/cb",), "self_registered": True, "name": "App"}
    form |= {"id": "c", "authentication": "none", "scopes": parse_scopes("patient/*.rs"), **changes}
    with pytest.raises(BadRequest):
        require_valid(Client(**form))  # type: ignore[arg-type]


@pytest.mark.parametrize("status", ["304 Not Modified", "300 Multiple Choices", "302 Found"])
async def test_a_redirect_to_nowhere_is_refused(status: str) -> None:
    """An answer of the 300s without a Location is no fault of this server."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Refused, match=f"it answers {status[:3]}"):
            await fetch(f"http://127.0.0.1:{port}/", allow_internal=True)
