"""An identity provider of the tests, in process: it answers what the server asks of `auth.providers.discovery.ask`.

It checks what a real one would (the client, the code, PKCE), and can be made to lie.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from fhir_server.auth.outbound import Answer, Outgoing, Refused
from fhir_server.auth.providers import discovery
from fhir_server.auth.providers.logout_claims import EVENT
from fhir_server.auth.providers.provider import parse_provider
from tests.smart_server import Browser, SmartServer

CLIENT = "hospital"
SECRET = "s3cret of the hospital"
IDENTIFIERS = "http://hospital.example/staff"
NUMBERS = "http://hospital.example/patients"
MAPPING: dict[str, Any] = {
    "groups_claim": "groups",
    "roles": {"doctors": "practitioner", "office": "admin"},
    "clinics": {"harbour": "Location/harbour", "hill": "Location/hill"},
    "practitioner": {"claim": "staff_number", "system": IDENTIFIERS},
    "patient": {"claim": "patient_number", "system": NUMBERS},
    "trust_patient_identifier": True,
}
DOCTOR: dict[str, Any] = {
    "sub": "d1",
    "preferred_username": "ingrid",
    "groups": ["doctors", "harbour"],
    "staff_number": "7",
}


def new_key(kid: str) -> RSAKey:
    """Return a key pair of that id."""
    return RSAKey.generate_key(2048, {"kid": kid, "use": "sig", "alg": "RS256"})


@dataclass(slots=True)
class IdentityProvider:
    """A provider at an issuer; what `signs` returns of claims is signed, what `headers` has stands in the header."""

    issuer: str = "https://idp.test/realm"
    key: RSAKey = field(default_factory=lambda: new_key("k1"))
    claims: dict[str, Any] = field(default_factory=dict)
    """Of who is signed in there."""
    metadata: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, Any] = field(default_factory=dict)
    signs: Callable[[dict[str, Any]], dict[str, Any]] = lambda claims: claims
    encode: Callable[[dict[str, Any], dict[str, Any]], str] | None = None
    refreshes: bool = True
    disabled: bool = False
    silent: bool = False
    asked: list[str] = field(default_factory=list)
    seen: dict[str, str] = field(default_factory=dict)
    """The parameters of the last authorization request."""
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)
    opaque: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What introspection says of each opaque token."""

    def url(self, path: str) -> str:
        return f"{self.issuer}/{path}"

    def document(self) -> dict[str, Any]:
        """Return the discovery document."""
        return {
            "issuer": self.issuer,
            "authorization_endpoint": self.url("authorize"),
            "token_endpoint": self.url("token"),
            "jwks_uri": self.url("keys"),
            "userinfo_endpoint": self.url("userinfo"),
            "end_session_endpoint": self.url("logout"),
            "introspection_endpoint": self.url("introspect"),
            "authorization_response_iss_parameter_supported": True,
            **self.metadata,
        }

    async def answer(self, url: str, sent: Outgoing) -> Answer:
        """Answer what is asked of one of its URLs."""
        path = url.removeprefix(self.issuer).split("?")[0]
        self.asked.append(path)
        if self.silent:
            raise Refused("it cannot be fetched (TimeoutError)")
        form = dict(parse_qsl((sent.body or b"").decode()))
        if path == "/.well-known/openid-configuration":
            return _json(self.document())
        if path == "/keys":
            return _json({"keys": [self.key.as_dict(private=False)]})
        if not self._is_client(dict(sent.headers)):
            return _json({"error": "invalid_client"}, 401)
        if path == "/introspect":
            return _json(self.opaque.get(form["token"], {"active": False}))
        return self._token(form)

    def _is_client(self, headers: dict[str, str]) -> bool:
        scheme, _, value = {name.lower(): text for name, text in headers.items()}.get("authorization", "").partition(
            " "
        )
        client_id, _, secret = base64.b64decode(value).decode().partition(":")
        return scheme == "Basic" and (unquote(client_id), unquote(secret)) == (CLIENT, SECRET)

    def _token(self, form: dict[str, str]) -> Answer:
        if self.disabled:
            return _json({"error": "invalid_grant", "error_description": "User disabled"}, 400)
        if form["grant_type"] == "refresh_token":
            return _json(self._tokens(None))
        begun = self._codes.pop(form["code"], None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if begun is None or begun["code_challenge"] != challenge.rstrip(b"=").decode():
            return _json({"error": "invalid_grant"}, 400)
        if begun["redirect_uri"] != form["redirect_uri"]:
            return _json({"error": "invalid_grant"}, 400)
        return _json(self._tokens(begun["nonce"]))

    def _tokens(self, nonce: str | None) -> dict[str, Any]:
        more = {"refresh_token": secrets.token_hex(8)} if self.refreshes else {}
        return {"access_token": "at", "token_type": "Bearer", "id_token": self.id_token(nonce), **more}

    def id_token(self, nonce: str | None) -> str:
        """Return an id_token about who is signed in there."""
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT,
            "iat": now,
            "exp": now + 300,
            "auth_time": now,
            "sid": "s1",
            **({"nonce": nonce} if nonce else {}),
            **self.claims,
        }
        return self.sign(self.signs(claims))

    def sign(self, claims: dict[str, Any], **headers: Any) -> str:
        """Return claims, signed."""
        header = {"alg": "RS256", "kid": "k1", **self.headers, **headers}
        return self.encode(header, claims) if self.encode else jwt.encode(header, claims, self.key)

    def logout_token(self, **changes: Any) -> str:
        """Return a logout token of the session s1 of who is signed in there; None takes a claim away."""
        claims = {
            "iss": self.issuer,
            "aud": CLIENT,
            "iat": int(time.time()),
            "exp": int(time.time()) + 120,
            "jti": secrets.token_hex(8),
            "sub": self.claims["sub"],
            "sid": "s1",
            "events": {EVENT: {}},
            **changes,
        }
        return self.sign({name: value for name, value in claims.items() if value is not None}, typ="logout+jwt")

    def authorize(self, sent: httpx.Response, **changes: str | None) -> str:
        """Return where the provider leads a browser that the server has sent there, once its user has signed in."""
        location = sent.headers["location"]
        assert location.startswith(self.url("authorize?")), location
        self.seen = dict(parse_qsl(urlsplit(location).query))
        code = secrets.token_hex(8)
        self._codes[code] = self.seen
        answer: dict[str, str | None] = {"code": code, "state": self.seen["state"], "iss": self.issuer, **changes}
        return f"{self.seen['redirect_uri']}?{urlencode({k: v for k, v in answer.items() if v is not None})}"

    async def added_to(self, smart: SmartServer, **changes: Any) -> None:
        """Have the server know this provider."""
        document = {
            "id": "idp",
            "name": "Hospital sign-on",
            "issuer": self.issuer,
            "client_id": CLIENT,
            "client_secret": SECRET,
            "accounts": MAPPING,
            **changes,
        }
        await smart.store.providers.add(parse_provider(document))
        smart.app.state.oauth.providers._read = float("-inf")

    async def sign_in(self, browser: Browser, page: httpx.Response | None = None) -> httpx.Response:
        """Have the browser sign in there, from the sign-in page, and return the page that it comes to in the end."""
        return await browser.get(self.authorize(await self.begun(browser, page)))

    async def begun(self, browser: Browser, page: httpx.Response | None = None) -> httpx.Response:
        """Have the browser follow the provider's button, and return the redirect that leads there."""
        page = page or await browser.get("/oauth/login")
        start = page.text.index('class="button" href="') + len('class="button" href="')
        href = page.text[start : page.text.index('"', start)].replace("&amp;", "&")
        return await browser.get(href)


def _json(content: Any, status: int = 200) -> Answer:
    return Answer(status, "application/json", json.dumps(content).encode())


@contextmanager
def reachable(monkeypatch: pytest.MonkeyPatch, *providers: IdentityProvider) -> Iterator[None]:
    """Let the server's questions come to these providers meanwhile."""

    async def ask(url: str, asked: Outgoing, *, allow_internal: bool = False) -> Answer:
        for provider in providers:
            if url.startswith(provider.issuer + "/"):
                return await provider.answer(url, asked)
        raise Refused("its host has no address")

    with monkeypatch.context() as patched:
        patched.setattr(discovery, "ask", ask)
        yield


@pytest.fixture
def idp(monkeypatch: pytest.MonkeyPatch) -> Iterator[IdentityProvider]:
    """Yield a provider that can be reached; a doctor is signed in there."""
    provider = IdentityProvider(claims=dict(DOCTOR))
    with reachable(monkeypatch, provider):
        yield provider
