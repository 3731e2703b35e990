"""Tokens that somebody else signed (JWS in compact form): read with suspicion, verified against the signer's key set.

Only asymmetric algorithms count, each with its own type of key, and the key is one of the signer's set: whatever a
token brings along or points at proves nothing. https://www.rfc-editor.org/rfc/rfc8725
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from fhir_server.auth.tokens.key_sets import Jwk

ALGORITHMS = {
    "RS256": "RSA",
    "RS384": "RSA",
    "RS512": "RSA",
    "PS256": "RSA",
    "PS384": "RSA",
    "PS512": "RSA",
    "ES256": "EC",
    "ES384": "EC",
    "ES512": "EC",
    "EdDSA": "OKP",
    "Ed25519": "OKP",
}
"""The algorithms that prove something, and the type of key that each takes."""

_LONGEST = 32 * 1024
_FOREIGN_KEYS = frozenset({"jwk", "jku", "x5c", "x5u", "crit"})
_PUBLIC_MEMBERS = frozenset({"kty", "n", "e", "crv", "x", "y"})
_SMALLEST_RSA_BITS = 2048

FindKeys = Callable[[str | None], Awaitable[Sequence[Jwk]]]
"""Returns the signer's keys of an id, all of them without one; raises Refused."""


class NotProven(Exception):
    """The token proves nothing; the text says why, and holds nothing of the token's."""


@dataclass(frozen=True, slots=True)
class Unverified:
    """What a token says of itself, before anything is known to be true."""

    text: str
    header: dict[str, Any]
    claims: dict[str, Any]

    @property
    def issuer(self) -> str | None:
        """The `iss` that it names."""
        named = self.claims.get("iss")
        return named if isinstance(named, str) else None


def is_signed_form(text: str) -> bool:
    """Return whether a text has the form of a signed token: three parts, the first an object that is begun."""
    return text.startswith("eyJ") and text.count(".") == 2


def read(text: str) -> Unverified:
    """Return what a signed token says of itself; raises NotProven where it is none."""
    if len(text) > _LONGEST or text.count(".") != 2:
        raise NotProven("it is not a signed JWT")
    header, claims = (_object(part) for part in text.split(".")[:2])
    return Unverified(text, header, claims)


def _object(part: str) -> dict[str, Any]:
    try:
        value = json.loads(base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError) as error:
        raise NotProven("it is not a signed JWT") from error
    if not isinstance(value, dict):
        raise NotProven("it is not a signed JWT")
    return value


async def verified(token: Unverified, keys: FindKeys, *, types: Collection[str]) -> dict[str, Any]:
    """Return the claims of a token whose signature is by one of the keys; raises NotProven, and Refused of the keys.

    `types` are those that its header may name, in lower case; the empty one stands for none.
    """
    header, algorithm = token.header, token.header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise NotProven("its algorithm is not one that is accepted")
    if _FOREIGN_KEYS & header.keys():
        raise NotProven("it brings a key along, or demands an extension")
    named = header.get("typ", "")
    if not isinstance(named, str) or named.lower().removeprefix("application/") not in types:
        raise NotProven("it is a token of another kind")
    kid = header.get("kid")
    if kid is not None and not isinstance(kid, str):
        raise NotProven("its kid is no text")
    fitting = [key for key in await keys(kid) if _fits(key, algorithm)]
    if len(fitting) != 1:
        raise NotProven("no key, or more than one, has its kid and fits its algorithm")
    return _claims(token, fitting[0], algorithm)


def _fits(key: Jwk, algorithm: str) -> bool:
    return (
        key.get("kty") == ALGORITHMS[algorithm]
        and key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) in (algorithm, None)
    )


def _claims(token: Unverified, key: Jwk, algorithm: str) -> dict[str, Any]:
    public = {name: value for name, value in key.items() if name in _PUBLIC_MEMBERS}
    try:
        claims = dict(jwt.decode(token.text, _imported(public), algorithms=[algorithm]).claims)
    except (JoseError, ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise NotProven("its signature does not verify") from error
    return claims


def _imported(public: Jwk) -> RSAKey | ECKey | OKPKey:
    if public["kty"] == "EC":
        return ECKey.import_key(public)
    if public["kty"] == "OKP":
        return OKPKey.import_key(public)
    key = RSAKey.import_key(public)
    if key.raw_value.key_size < _SMALLEST_RSA_BITS:
        raise ValueError("The key is too short.")
    return key
