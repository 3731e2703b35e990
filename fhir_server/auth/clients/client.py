"""Apps and services that ask for tokens: what is registered about each, and whether that can be.

https://www.rfc-editor.org/rfc/rfc7591#section-2
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

from fhir_server.auth.clients import redirects
from fhir_server.auth.permission.scopes import EHR_LAUNCH, Scopes, parse_scopes, unknown
from fhir_server.errors import BadRequest

Authentication: TypeAlias = Literal["none", "client_secret_basic", "private_key_jwt"]
AUTHENTICATIONS: tuple[Authentication, ...] = ("none", "client_secret_basic", "private_key_jwt")
_LONGEST_NAME = 100
_MOST_URIS = 20
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


@dataclass(frozen=True, slots=True)
class Client:
    """A registered client: public, confidential with a secret, or confidential with keys of its own."""

    id: str
    name: str
    authentication: Authentication
    scopes: Scopes
    redirect_uris: tuple[str, ...] = ()
    secret_fingerprint: str | None = None
    jwks: dict[str, Any] | None = None
    jwks_uri: str | None = None
    launch_url: str | None = None
    post_logout_redirect_uris: tuple[str, ...] = ()
    """Where a browser may be led after the user has signed out at the app's wish."""
    self_registered: bool = False

    @property
    def is_public(self) -> bool:
        """Whether the client can keep no secret, and so does not prove who it is."""
        return self.authentication == "none"

    @property
    def grant_types(self) -> tuple[str, ...]:
        """The grants that the client may use: for users where it can be redirected to, for itself by system scopes."""
        for_users = ("authorization_code", "refresh_token") if self.redirect_uris else ()
        itself = self.scopes.has_level("system") or EHR_LAUNCH in self.scopes
        return (*for_users, "client_credentials") if itself and not self.is_public else for_users


def require_valid(client: Client) -> None:
    """Raise BadRequest where the registration contradicts itself or would be unsafe."""
    if not client.name.strip() or len(client.name) > _LONGEST_NAME or not client.name.isprintable():
        raise BadRequest(f"A client needs a name of 1 to {_LONGEST_NAME} printable characters.")
    for uris in (client.redirect_uris, client.post_logout_redirect_uris):
        if len(uris) > _MOST_URIS:
            raise BadRequest(f"A client has at most {_MOST_URIS} redirect URIs.")
    for uri in (*client.redirect_uris, *client.post_logout_redirect_uris):
        wrong = redirects.fault(uri, by_operator=not client.self_registered)
        if wrong:
            raise BadRequest(f"{wrong} ({uri[:200]!r})", code="invalid_redirect_uri")
    if not client.grant_types:
        raise BadRequest("A client needs a redirect URI, or a scope of its own (system/...) with a secret or keys.")
    _require_keys(client)
    _require_launch_url(client)


def _require_keys(client: Client) -> None:
    has_keys = client.jwks is not None or client.jwks_uri is not None
    if (client.authentication == "private_key_jwt") != has_keys:
        raise BadRequest("Keys (a JWKS or its URL) go with private_key_jwt, and only with that.")
    if client.jwks is not None and client.jwks_uri is not None:
        raise BadRequest("A client has its keys inline or at a URL, not both.")
    if client.jwks is not None:
        _require_public_keys(client.jwks)
    if client.jwks_uri is not None:
        _require_url(client.jwks_uri, ("https",) if client.self_registered else ("http", "https"))


def _require_url(url: str, schemes: tuple[str, ...]) -> None:
    try:
        parts = urlsplit(url)
        named = bool(parts.hostname) and parts.port != 0
    except ValueError as error:  # a port beyond 65535, a broken address
        raise BadRequest("The URL of a JWKS has no valid host and port.") from error
    if parts.scheme not in schemes:
        raise BadRequest("The URL of a JWKS is https.")
    if not named:
        raise BadRequest("The URL of a JWKS has no valid host and port.")


def _require_public_keys(jwks: dict[str, Any]) -> None:
    keys = jwks.get("keys")
    if not isinstance(keys, list) or not keys or not all(isinstance(key, dict) for key in keys):
        raise BadRequest('A JWKS is an object with a list of "keys".')
    if any(key.get("kty") not in ("RSA", "EC") or _PRIVATE_MEMBERS & key.keys() for key in keys):
        raise BadRequest("The JWKS of a client holds public RSA or EC keys and nothing private.")


def _require_launch_url(client: Client) -> None:
    if client.launch_url is not None:
        wrong = redirects.fault(client.launch_url, by_operator=not client.self_registered)
        if wrong:
            raise BadRequest(f"The launch URL: {wrong}")


def require_scopes(text: str) -> Scopes:
    """Return the scopes that a registration names; raises BadRequest for a word that is no scope."""
    wrong = unknown(text)
    if wrong:
        raise BadRequest(f"{wrong[0][:100]!r} is not a scope of SMART on FHIR.", code="invalid_scope")
    return parse_scopes(text)
