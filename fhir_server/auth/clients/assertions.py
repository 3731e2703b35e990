"""Client assertions: a client proves who it is by a JWT that it signed with a registered key (private_key_jwt).

https://hl7.org/fhir/smart-app-launch/STU2.2/client-confidential-asymmetric.html#authenticating-to-the-token-endpoint
"""

from __future__ import annotations

import base64
import binascii
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from fhir_server.auth.clients.client import Client
from fhir_server.auth.clients.jwks import ClientKeys
from fhir_server.auth.outbound import Refused
from fhir_server.auth.tokens.key_sets import Jwk

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ALGORITHMS = {"RS384": "RSA", "ES384": "EC"}
"""The algorithms that SMART demands, and the type of key that each takes."""

_LONGEST = 16 * 1024
_LONGEST_LIFE = 300
_SKEW = 30
_LONGEST_JTI = 256
# Headers that bring a key along, or name where one lies: trusting them would be trusting whoever wrote the assertion.
_FOREIGN_KEYS = frozenset({"jwk", "x5c", "x5u", "x5t", "x5t#S256", "crit"})


class Invalid(Exception):
    """The assertion proves nothing; the text says why, to the client's developer."""


@dataclass(frozen=True, slots=True)
class Unverified:
    """What an assertion says of itself, before anything is known to be true."""

    text: str
    header: dict[str, Any]
    claims: dict[str, Any]

    @property
    def client_id(self) -> str:
        """The client that the assertion says it is from."""
        return str(self.claims["iss"])


@dataclass(frozen=True, slots=True)
class Proof:
    """A verified assertion; its `jti` must not be accepted again before `expires` (seconds since 1970)."""

    client_id: str
    jti: str
    expires: float


def read(text: str) -> Unverified:
    """Return what the assertion says; raises Invalid where it is no JWT of the permitted form."""
    if len(text) > _LONGEST or text.count(".") != 2:
        raise Invalid("The client assertion is not a signed JWT.")
    header, claims = (_json(part) for part in text.split(".")[:2])
    if header.get("alg") not in ALGORITHMS:
        raise Invalid(f"The client assertion is signed by one of {', '.join(ALGORITHMS)}.")
    if header.get("typ", "JWT") != "JWT":
        raise Invalid("The typ of a client assertion is JWT.")
    if _FOREIGN_KEYS & header.keys():
        raise Invalid("A client assertion names its key by kid, and brings none along.")
    if not isinstance(header.get("kid"), str) or not header["kid"]:
        raise Invalid("A client assertion names its key by kid.")
    issuer = claims.get("iss")
    if not isinstance(issuer, str) or not issuer or claims.get("sub") != issuer:
        raise Invalid("iss and sub of a client assertion are both the client_id.")
    return Unverified(text, header, claims)


def _json(part: str) -> dict[str, Any]:
    try:
        value = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, binascii.Error, RecursionError) as error:
        raise Invalid("The client assertion is not a signed JWT.") from error
    if not isinstance(value, dict):
        raise Invalid("The client assertion is not a signed JWT.")
    return value


async def verify(assertion: Unverified, client: Client, keys: ClientKeys, audiences: Sequence[str]) -> Proof:
    """Return the proof that the client made the assertion, for one of the audiences and just now; raises Invalid.

    The caller must still refuse a `jti` that was seen before.
    """
    jku = assertion.header.get("jku")
    if jku is not None and jku != client.jwks_uri:
        raise Invalid("The jku of the client assertion is not the registered jwks_uri.")
    try:
        key = await keys.find(client, assertion.header["kid"])
    except Refused as error:
        raise Invalid(f"The client's jwks_uri cannot be used: {error}.") from error
    claims = _verified(assertion, key)
    if claims != assertion.claims or assertion.client_id != client.id:
        raise Invalid("iss and sub of a client assertion are both the client_id.")
    return _current(claims, client, audiences)


def _verified(assertion: Unverified, keys: list[Jwk]) -> dict[str, Any]:
    algorithm = assertion.header["alg"]
    fitting = [key for key in keys if key.get("kty") == ALGORITHMS[algorithm] and key.get("use", "sig") == "sig"]
    if len(fitting) != 1:
        raise Invalid("No registered key, or more than one, has the kid of the client assertion and fits its alg.")
    public = {name: value for name, value in fitting[0].items() if name in ("kty", "n", "e", "crv", "x", "y")}
    try:
        key = RSAKey.import_key(public) if algorithm == "RS384" else ECKey.import_key(public)
        return dict(jwt.decode(assertion.text, key, algorithms=[algorithm]).claims)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise Invalid("The signature of the client assertion does not verify.") from error


def _current(claims: dict[str, Any], client: Client, audiences: Sequence[str]) -> Proof:
    now = time.time()
    named = claims.get("aud")
    if not any(audience in (named if isinstance(named, list) else [named]) for audience in audiences):
        raise Invalid("The aud of a client assertion is the URL of the token endpoint, or the issuer.")
    expires, begins = _number(claims, "exp"), _number(claims, "nbf")
    if expires is None or expires <= now - _SKEW:
        raise Invalid("The client assertion has expired, or has no exp.")
    if expires > now + _LONGEST_LIFE + _SKEW:
        raise Invalid("The exp of a client assertion is at most five minutes ahead.")
    if begins is not None and begins > now + _SKEW:
        raise Invalid("The client assertion is not valid yet.")
    _number(claims, "iat")
    jti = claims.get("jti")
    if not isinstance(jti, str) or not jti or len(jti) > _LONGEST_JTI:
        raise Invalid("A client assertion has a jti, a text of its own.")
    return Proof(client.id, jti, expires + _SKEW)


def _number(claims: dict[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e12:
        raise Invalid(f"The {name} of a client assertion is a number of seconds.")
    return float(value)
