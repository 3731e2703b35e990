"""What an access token of a provider says, once it is known to be one of now and for this server.

https://www.rfc-editor.org/rfc/rfc9068#section-4, https://www.rfc-editor.org/rfc/rfc7662#section-2.2
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fhir_server.auth.permission.scopes import Scopes, parse_scopes
from fhir_server.auth.providers.person import claim
from fhir_server.auth.providers.provider import TokenMapping
from fhir_server.auth.tokens.signed import NotProven
from fhir_server.r4.ids import ID_PATTERN

TYPES = ("at+jwt", "jwt", "")
"""Not all providers say that it is an access token; what is an id_token is told by its claims and audience."""
_CLIENT_CLAIMS = ("client_id", "azp", "cid", "appid")
_OTHER_KINDS = frozenset({"id", "refresh", "logout", "offline"})
"""What Keycloak calls its other tokens in their claim `typ`."""
_SKEW = 30
_LONGEST = 255
_LONGEST_SCOPE = 8000
_ID = re.compile(ID_PATTERN)
_FHIR_USER = re.compile(r"(?:Patient|Practitioner|PractitionerRole|RelatedPerson|Person)/" + ID_PATTERN)


@dataclass(frozen=True, slots=True)
class OutsideToken:
    """An access token of a provider: `client` asked for it, for the subject."""

    subject: str
    client: str
    scopes: Scopes
    expires: datetime
    issued: datetime
    claims: Mapping[str, Any]
    sid: str | None = None

    def patient(self, mapping: TokenMapping) -> str | None:
        """Return the id of the launch's patient, where the provider is trusted with it."""
        return _id(self.claims, mapping.patient_claim, "Patient/") if mapping.trust_launch else None

    def encounter(self, mapping: TokenMapping) -> str | None:
        """Return the id of the launch's encounter, where the provider is trusted with it."""
        return _id(self.claims, mapping.encounter_claim, "Encounter/") if mapping.trust_launch else None

    def fhir_user(self, mapping: TokenMapping, base_url: str) -> str | None:
        """Return the relative reference of who the user is, where the provider is trusted with it."""
        value = claim(self.claims, mapping.fhir_user_claim) if mapping.trust_fhir_user else None
        if not isinstance(value, str):
            return None
        reference = value.removeprefix(f"{base_url}/")
        return reference if _FHIR_USER.fullmatch(reference) else None


def read_claims(
    claims: Mapping[str, Any], issuer: str, mapping: TokenMapping, audiences: Collection[str]
) -> OutsideToken:
    """Return what the claims say, of a token that the issuer has signed or vouched for; raises NotProven."""
    if claims.get("iss", issuer) != issuer:
        raise NotProven("it is another issuer's")
    named = claims.get("aud")
    if not set(audiences) & {each for each in (named if isinstance(named, list) else [named]) if isinstance(each, str)}:
        raise NotProven("it is for another audience")
    _require_access_token(claims)
    now, expires = time.time(), _time(claims, "exp")
    if expires is None or expires <= now:
        raise NotProven("it has expired")
    issued = _time(claims, "iat") or now
    if max(issued, _time(claims, "nbf") or 0) > now + _SKEW:
        raise NotProven("it does not hold yet")
    subject, sid = _text(claims.get("sub")), _text(claims.get("sid"))
    client = next((text for name in _CLIENT_CLAIMS if (text := _text(claims.get(name)))), None)
    if client is None:
        raise NotProven("it names no client")
    return OutsideToken(
        subject or client,
        client,
        _scopes(claims, mapping),
        datetime.fromtimestamp(expires, UTC),
        datetime.fromtimestamp(max(0.0, issued), UTC),
        claims,
        sid,
    )


def _require_access_token(claims: Mapping[str, Any]) -> None:
    kind = claims.get("typ", "")
    if "cnf" in claims or str(claims.get("token_type", "Bearer")).lower() not in ("bearer", "access_token"):
        raise NotProven("it is bound to a key, and more than its bearer is asked for")
    if {"nonce", "at_hash", "c_hash", "events"} & claims.keys() or str(kind).lower() in _OTHER_KINDS:
        raise NotProven("it is no access token")


def _scopes(claims: Mapping[str, Any], mapping: TokenMapping) -> Scopes:
    value = claim(claims, mapping.scope_claim)
    words = value.split() if isinstance(value, str) else value if isinstance(value, list) else []
    texts = [mapping.scopes.get(word, word) for word in words if isinstance(word, str)]
    return parse_scopes(" ".join(texts)[:_LONGEST_SCOPE])


def _id(claims: Mapping[str, Any], name: str, prefix: str) -> str | None:
    value = claim(claims, name)
    text = value.removeprefix(prefix) if isinstance(value, str) else ""
    return text if _ID.fullmatch(text) else None


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e11:
        raise NotProven(f"its {name} is no time")
    return float(value)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= _LONGEST and value.isprintable() else None
