"""The id_token of OpenID Connect: who signed in. https://openid.net/specs/openid-connect-core-1_0.html#IDToken"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from fhir_server.auth.tokens.keys import ALGORITHM, SigningKey

LIFETIME_SECONDS = 3600
_LONGEST = 8 * 1024


def sign_id_token(
    key: SigningKey,
    *,
    issuer: str,
    subject: str,
    client_id: str,
    about_user: Mapping[str, Any],
    nonce: str | None,
    signed_in: int | None,
    acr: str | None = None,
    amr: Sequence[str] = (),
) -> str:
    """Return the signed token; `about_user` are the claims that the granted scopes stand for."""
    now = int(time.time())
    claims: dict[str, Any] = {
        **about_user,
        "iss": issuer,
        "sub": subject,
        "aud": client_id,
        "iat": now,
        "exp": now + LIFETIME_SECONDS,
    }
    optional = {"nonce": nonce, "auth_time": signed_in, "acr": acr, "amr": list(amr) or None}
    claims |= {name: value for name, value in optional.items() if value is not None}
    return jwt.encode({"alg": ALGORITHM, "kid": key.id, "typ": "JWT"}, claims, key.key)


def read_id_token(text: str, keys: Sequence[SigningKey], issuer: str) -> tuple[str, str] | None:
    """Return the client and the user of an id_token that this server signed, be it expired; None for anything else.

    Only the algorithm that it signs with counts, and only a key of its own that the token names.
    """
    own = {key.id: key.key for key in keys}

    def named(token: Any) -> RSAKey:
        return own[token.headers()["kid"]]

    try:
        if len(text) > _LONGEST:
            return None
        claims = jwt.decode(text, named, algorithms=[ALGORITHM]).claims
    except (JoseError, ValueError, TypeError, LookupError, RecursionError):
        return None
    client_id, subject = claims.get("aud"), claims.get("sub")
    if claims.get("iss") != issuer or not isinstance(client_id, str) or not isinstance(subject, str):
        return None
    return client_id, subject
