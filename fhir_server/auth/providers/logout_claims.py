"""The claims of a logout token: whom a provider signs out.

https://openid.net/specs/openid-connect-backchannel-1_0.html#Validation
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fhir_server.auth.tokens.signed import NotProven

EVENT = "http://schemas.openid.net/event/backchannel-logout"
SKEW = 30
OLDEST = 600
"""Seconds after which a logout token says nothing any more."""
_LONGEST = 500


@dataclass(frozen=True, slots=True)
class SignedOut:
    """Whom a logout token ends: one session of the provider, or all of a subject; `jti` names the token."""

    subject: str | None
    sid: str | None
    jti: str


def read_logout_claims(claims: Mapping[str, Any], issuer: str, client_id: str) -> SignedOut:
    """Return whom the claims of a logout token end that the issuer has signed; raises NotProven."""
    named = claims.get("aud")
    if claims.get("iss") != issuer or client_id not in (named if isinstance(named, list) else [named]):
        raise NotProven("it is for somebody else")
    now = time.time()
    if not now - OLDEST < _time(claims.get("iat")) < now + SKEW or _time(claims.get("exp", now)) <= now - SKEW:
        raise NotProven("it is not of now")
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(EVENT), dict) or "nonce" in claims:
        raise NotProven("it is no logout token")
    subject, sid, jti = (_text(claims.get(name)) for name in ("sub", "sid", "jti"))
    if jti is None:
        raise NotProven("it has no jti")
    if subject is None and sid is None:
        raise NotProven("it names nobody")
    return SignedOut(subject, sid, jti)


def _time(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e12:
        raise NotProven("it has no time")
    return float(value)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= _LONGEST else None
