"""Signing in with a provider: this server as the relying party of OpenID Connect, with Authlib as the client.

All that the client asks goes through the guard of `auth.outbound`: no internal address, a small answer, a short time.
https://openid.net/specs/openid-connect-core-1_0.html#CodeFlowAuth
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx2
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oidc.core import CodeIDToken
from joserfc.errors import JoseError

from fhir_server.auth.outbound import Fetched, Outgoing, Refused
from fhir_server.auth.providers.discovery import Discovery, Metadata, ask_provider
from fhir_server.auth.providers.logout_claims import SignedOut, read_logout_claims
from fhir_server.auth.providers.provider import Provider
from fhir_server.auth.tokens import signed
from fhir_server.auth.tokens.key_sets import Jwk, KeySets
from fhir_server.auth.tokens.signed import NotProven

SKEW = 30
"""Seconds that the clocks of two machines may differ by."""
_LONGEST_SUBJECT = 255
_LONGEST_SID = 500
_ID_TOKEN_TYPES = ("", "jwt", "id_token")
_LOGOUT_TOKEN_TYPES = ("", "jwt", "logout+jwt")
_DROPPED_HEADERS = frozenset({"host", "content-length", "accept-encoding", "connection"})


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked of a provider when a user is sent there."""

    redirect_uri: str
    state: str
    nonce: str
    verifier: str
    prompt: str | None = None
    max_age: int | None = None
    acr_values: str | None = None
    login_hint: str | None = None
    ui_locales: str | None = None


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who a provider says has signed in; `claims` are those of the id_token, and of userinfo where that is asked."""

    subject: str
    claims: Mapping[str, Any]
    id_token: str
    refresh_token: str | None = None
    sid: str | None = None

    @property
    def auth_time(self) -> float | None:
        """When the user proved who it is there, in seconds since 1970."""
        value = self.claims.get("auth_time")
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    @property
    def acr(self) -> str | None:
        """The class of how the user did so."""
        value = self.claims.get("acr")
        return value if isinstance(value, str) and len(value) <= 200 else None

    @property
    def amr(self) -> tuple[str, ...]:
        """The methods by which the user did so."""
        value = self.claims.get("amr")
        named = value if isinstance(value, list) else []
        return tuple(each for each in named[:10] if isinstance(each, str) and len(each) <= 50)


@dataclass(frozen=True, slots=True)
class Renewed:
    """What a refresh token brought: the one that takes its place, where it does, and claims where it tells any."""

    refresh_token: str | None
    claims: Mapping[str, Any] | None


class Ended(Exception):
    """The provider says that the user's sign-in holds no more, or never did."""


class RelyingParty:
    """Asks providers; one for each worker, since it keeps what they publish."""

    def __init__(self) -> None:
        self.discovery = Discovery()
        self._key_sets: dict[str, KeySets] = {}

    async def authorization_url(self, provider: Provider, wish: Wish) -> str:
        """Return where the browser is sent; raises Refused where the provider tells nothing that can be used."""
        metadata = await self.discovery.of(provider)
        options = {
            "nonce": wish.nonce,
            "prompt": wish.prompt,
            "max_age": wish.max_age,
            "acr_values": wish.acr_values,
            "login_hint": wish.login_hint,
            "ui_locales": wish.ui_locales,
        }
        async with self._client(provider, wish.redirect_uri) as client:
            url, _ = client.create_authorization_url(
                metadata.authorization_endpoint,
                state=wish.state,
                code_verifier=wish.verifier,
                **{name: value for name, value in options.items() if value is not None},
            )
        return str(url)

    async def exchange(self, provider: Provider, wish: Wish, code: str) -> SignedIn:
        """Return who the code is about; raises Refused, NotProven, and Ended where the provider takes it back."""
        metadata = await self.discovery.of(provider)
        async with self._client(provider, wish.redirect_uri) as client:
            tokens = await _tokens_of(
                client.fetch_token(
                    metadata.token_endpoint,
                    grant_type="authorization_code",
                    code=code,
                    code_verifier=wish.verifier,
                )
            )
        return await self._signed_in(provider, metadata, tokens, wish.nonce)

    async def renew(self, provider: Provider, refresh_token: str, subject: str) -> Renewed:
        """Return what a refresh token brings of the subject.

        Raises Ended where the provider takes it back, Refused where it cannot be asked, NotProven where it is
        another's.
        """
        metadata = await self.discovery.of(provider)
        async with self._client(provider) as client:
            tokens = await _tokens_of(client.refresh_token(metadata.token_endpoint, refresh_token=refresh_token))
        renewed = tokens.get("refresh_token")
        following = renewed if isinstance(renewed, str) and renewed != refresh_token else None
        if not isinstance(tokens.get("id_token"), str):
            return Renewed(following, None)
        signed_in = await self._signed_in(provider, metadata, tokens, None)
        if signed_in.subject != subject:
            raise NotProven("it is another's")
        return Renewed(following, signed_in.claims)

    def _client(self, provider: Provider, redirect_uri: str | None = None) -> Any:
        return AsyncOAuth2Client(
            client_id=provider.client_id,
            client_secret=provider.secret,
            token_endpoint_auth_method=provider.authentication,
            scope=provider.scope,
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
            transport=_Guarded(provider),
            trust_env=False,
        )

    async def _signed_in(
        self, provider: Provider, metadata: Metadata, tokens: Mapping[str, Any], nonce: str | None
    ) -> SignedIn:
        id_token, access_token, refresh_token = (
            tokens.get(name) for name in ("id_token", "access_token", "refresh_token")
        )
        if not isinstance(id_token, str):
            raise NotProven("it answers without an id_token")
        claims = await self.id_token_claims(provider, id_token, nonce, access_token)
        subject = _subject(claims)
        if provider.userinfo and metadata.userinfo_endpoint and isinstance(access_token, str):
            claims = {**await _userinfo(provider, metadata.userinfo_endpoint, access_token, subject), **claims}
        sid = claims.get("sid")
        return SignedIn(
            subject,
            claims,
            id_token,
            refresh_token if isinstance(refresh_token, str) and refresh_token else None,
            sid if isinstance(sid, str) and 0 < len(sid) <= _LONGEST_SID else None,
        )

    async def id_token_claims(
        self, provider: Provider, text: str, nonce: str | None, access_token: object = None
    ) -> dict[str, Any]:
        """Return the claims of an id_token for this server and the nonce, if any; raises NotProven, Refused.

        https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation
        """
        token = signed.read(text)
        claims = await self.verified(provider, token, _ID_TOKEN_TYPES)
        options = {
            "iss": {"essential": True, "value": provider.issuer},
            "aud": {"essential": True, "value": provider.client_id},
        }
        parameters = {
            "client_id": provider.client_id,
            "nonce": nonce,
            "access_token": access_token if isinstance(access_token, str) else None,
        }
        try:
            CodeIDToken(claims, token.header, options, parameters).validate(leeway=SKEW)
        except (JoseError, AuthlibBaseError, ValueError, TypeError, LookupError) as error:
            raise NotProven(f"its id_token is refused ({type(error).__name__})") from error
        _subject(claims)
        return claims

    async def signed_out(self, provider: Provider, text: str) -> SignedOut:
        """Return whom a logout token of the provider ends; raises NotProven, Refused.

        https://openid.net/specs/openid-connect-backchannel-1_0.html#Validation
        """
        token = signed.read(text)
        if token.issuer != provider.issuer:
            raise NotProven("it is another issuer's")
        claims = await self.verified(provider, token, _LOGOUT_TOKEN_TYPES)
        return read_logout_claims(claims, provider.issuer, provider.client_id)

    async def introspected(self, provider: Provider, text: str) -> Mapping[str, Any] | None:
        """Return what the provider says of an opaque token; None for one that is not active. Raises Refused."""
        metadata = await self.discovery.of(provider)
        if metadata.introspection_endpoint is None:
            raise Refused("it tells no introspection endpoint")
        async with self._client(provider) as client:
            try:
                answer = await client.introspect_token(
                    metadata.introspection_endpoint,
                    token=text,
                    token_type_hint="access_token",  # noqa: S106
                )
                claims = answer.json() if answer.status_code == 200 else None
            except (AuthlibBaseError, httpx2.HTTPError, ValueError, TypeError) as error:
                raise Refused("its introspection endpoint answers nothing of use") from error
        if not isinstance(claims, dict):
            raise Refused("its introspection endpoint answers nothing of use")
        return claims if claims.get("active") is True else None

    async def verified(self, provider: Provider, token: signed.Unverified, types: tuple[str, ...]) -> dict[str, Any]:
        """Return the claims of a token that the provider signed; raises NotProven, Refused."""
        metadata = await self.discovery.of(provider)

        async def keys(kid: str | None) -> list[Jwk]:
            return await self._sets(provider).find(metadata.jwks_uri, kid)

        return await signed.verified(token, keys, types=types)

    def _sets(self, provider: Provider) -> KeySets:
        return self._key_sets.setdefault(provider.issuer, KeySets(partial(_fetch_keys, provider)))


class _Guarded(httpx2.AsyncBaseTransport):
    """The one way by which Authlib's client reaches a provider."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        headers = [
            (name, value) for name, value in request.headers.multi_items() if name.lower() not in _DROPPED_HEADERS
        ]
        outgoing = Outgoing(request.method, headers, await request.aread() or None)
        answer = await ask_provider(self._provider, str(request.url), outgoing)
        return httpx2.Response(answer.status, headers={"Content-Type": answer.content_type}, content=answer.body)


async def _tokens_of(asking: Any) -> Mapping[str, Any]:
    """Return the tokens of a token endpoint; raises Ended where it refuses them, Refused for anything else."""
    try:
        tokens = await asking
    except AuthlibBaseError as error:
        if error.error == "invalid_grant":
            raise Ended from error
        raise Refused(f"its token endpoint refuses ({str(error.error)[:60]!r})") from error
    except (httpx2.HTTPError, ValueError, TypeError) as error:
        raise Refused("its token endpoint answers nothing of use") from error
    if not isinstance(tokens, Mapping):
        raise Refused("its token endpoint answers nothing of use")
    return tokens


async def _fetch_keys(provider: Provider, url: str) -> Fetched:
    answer = await ask_provider(provider, url, Outgoing())
    if answer.status != 200:
        raise Refused(f"it answers {answer.status}")
    return Fetched(answer.body, None)


async def _userinfo(provider: Provider, url: str, access_token: str, subject: str) -> dict[str, Any]:
    headers = {"Accept": "application/json", "Authorization": f"Bearer {access_token}"}
    answer = await ask_provider(provider, url, Outgoing(headers=headers))
    try:
        claims = json.loads(answer.body) if answer.status == 200 else None
    except (ValueError, RecursionError):
        claims = None
    if not isinstance(claims, dict):
        raise Refused("its userinfo endpoint answers nothing of use")
    if claims.get("sub") != subject:
        raise NotProven("its userinfo is another's")
    return claims


def _subject(claims: Mapping[str, Any]) -> str:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= _LONGEST_SUBJECT:
        raise NotProven("it names no subject")
    return subject
