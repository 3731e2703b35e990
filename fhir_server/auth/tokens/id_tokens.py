"""The id_token of OpenID Connect: who signed in. https://openid.net/specs/openid-connect-core-1_0.html#IDToken"""

from __future__ import annotations

import time
from typing import Any

from joserfc import jwt

from fhir_server.auth.tokens.keys import ALGORITHM, SigningKey

LIFETIME_SECONDS = 3600


def sign_id_token(
    key: SigningKey,
    *,
    issuer: str,
    subject: str,
    client_id: str,
    fhir_user: str | None,
    nonce: str | None,
    signed_in: int | None,
) -> str:
    """Return the signed token; `fhir_user` is an absolute URL and there only where the scope fhirUser was granted."""
    now = int(time.time())
    claims: dict[str, Any] = {
        "iss": issuer,
        "sub": subject,
        "aud": client_id,
        "iat": now,
        "exp": now + LIFETIME_SECONDS,
    }
    optional = {"nonce": nonce, "auth_time": signed_in, "fhirUser": fhir_user, "profile": fhir_user}
    claims |= {name: value for name, value in optional.items() if value is not None}
    return jwt.encode({"alg": ALGORITHM, "kid": key.id, "typ": "JWT"}, claims, key.key)
