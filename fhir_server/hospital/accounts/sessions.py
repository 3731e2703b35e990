"""Signing in and out of the app: token pairs of this server's own authorization server, for its own app."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from pydantic import BaseModel

from fhir_server.auth.accounts.user import User
from fhir_server.auth.permission.bearer import BearerToken, LaunchContext
from fhir_server.auth.tokens.secrets import ACCESS_LIFETIME, REFRESH_LIFETIME, new_secret
from fhir_server.engine.access import Access
from fhir_server.engine.account_status import is_active
from fhir_server.engine.context import Services
from fhir_server.engine.sign_in import is_unchanged
from fhir_server.hospital.api.own_app import APP, PATIENT_SCOPES, STAFF_SCOPES
from fhir_server.hospital.api.problem import Problem
from fhir_server.http.audit.audit_context import seen
from fhir_server.store.accounts.grants import Code, Replayed, Withdrawn
from fhir_server.store.accounts.oauth import OAuthStore


class Tokens(BaseModel):
    """A pair of tokens; `patient` is the id of the user's Patient."""

    access_token: str
    refresh_token: str
    token_type: str = "Bearer"  # noqa: S105 - the type of the token, not the token
    expires_in: int
    scope: str
    patient: str | None = None


async def begin(store: OAuthStore[Access], user: User) -> Tokens:
    """Return the tokens of a new session of the user."""
    now = datetime.now(UTC).replace(microsecond=0)
    granted = BearerToken(
        client_id=APP,
        scopes=PATIENT_SCOPES if user.role == "patient" else STAFF_SCOPES,
        expires=now + REFRESH_LIFETIME,
        issued=now,
        user_id=user.id,
        username=user.username,
        role=user.role,
        fhir_user=user.fhir_user,
        context=LaunchContext(patient=user.patient),
    )
    code = await store.grants.add(Code(granted, "", "", None, None), session=None, expires=now + REFRESH_LIFETIME)
    redeemed = await store.grants.redeem(code)
    assert redeemed is not None, "it was made a moment ago"
    tokens = await _issue(store, redeemed.token)
    if not await is_unchanged(store, user):
        await store.grants.revoke_grant(redeemed.token.grant or "")
        raise Problem("invalid_credentials")
    return tokens


async def refresh(services: Services, store: OAuthStore[Access], secret: str) -> Tokens:
    """Return new tokens for a refresh token, which is spent by it; if it was before, the session ends."""
    try:
        granted = await store.grants.refresh(secret)
        if granted is None or granted.client_id != APP or not await is_active(services, granted.fhir_user):
            raise Problem("invalid_token")
        return await _issue(store, granted, await store.grants.rotate(secret, store.keys.refresh_key()))
    except (Replayed, Withdrawn) as error:
        raise Problem("invalid_token") from error


async def _issue(store: OAuthStore[Access], granted: BearerToken, successor: str | None = None) -> Tokens:
    seen().by_token(granted)
    now = datetime.now(UTC).replace(microsecond=0)
    access, renewal = new_secret(), successor or new_secret()
    await store.grants.issue(
        [
            (access, "access", replace(granted, issued=now, expires=now + ACCESS_LIFETIME)),
            (renewal, "refresh", replace(granted, issued=now, expires=now + REFRESH_LIFETIME)),
        ]
    )
    return Tokens(
        access_token=access,
        refresh_token=renewal,
        expires_in=int(ACCESS_LIFETIME.total_seconds()),
        scope=str(granted.scopes),
        patient=granted.context.patient,
    )
