"""Asks providers, every so often, whether those who signed in with them still may: the refresh token tells.

Whom a provider has disabled is out then; who has other groups than before has other rights. A sign-in for which the
provider gave no refresh token cannot be asked about, and ends. A provider that does not answer ends nobody's work.
https://openid.net/specs/openid-connect-core-1_0.html#RefreshTokens
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import structlog

from fhir_server.auth.outbound import Refused
from fhir_server.auth.providers.person import person_of
from fhir_server.auth.providers.provider import Provider
from fhir_server.auth.providers.relying_party import Ended
from fhir_server.auth.tokens.signed import NotProven
from fhir_server.engine.providers.accounts import Accounts, NotLetIn
from fhir_server.engine.providers.connected import Providers
from fhir_server.engine.providers.endings import end_sign_ins
from fhir_server.store.accounts.provider_sign_ins import ProviderSignIn

_AT_ONCE = 100
_UNANSWERED = timedelta(seconds=30)

log = structlog.get_logger(__name__)


async def check_due(accounts: Accounts, providers: Providers) -> bool:
    """Ask about the sign-ins that are due by the setting, some at once; return whether there may be more of them."""
    store, minutes = accounts.store, accounts.services.settings.provider_check_minutes
    due = await store.provider_sign_ins.due(datetime.now(UTC) - timedelta(minutes=minutes), _AT_ONCE)
    ids = [sign_in.id for sign_in in due]
    in_use = await store.sessions.rest_on(ids) | await store.grants.rest_on(ids)
    await store.provider_sign_ins.remove([name for name in ids if name not in in_use])
    ended, silent = [], set[str]()
    for sign_in in due:
        if sign_in.id in in_use and not await _holds(accounts, providers, sign_in, silent):
            ended.append(sign_in.id)
    await end_sign_ins(store, ended)
    if ended:
        log.info("provider.sign_ins_ended", count=len(ended))
    return len(due) == _AT_ONCE


async def _holds(accounts: Accounts, providers: Providers, sign_in: ProviderSignIn, silent: set[str]) -> bool:
    """Return whether a sign-in holds; a provider that does not answer comes to be `silent`, and is not asked again."""
    provider = await providers.find(sign_in.provider)
    if provider is None or provider.issuer != sign_in.issuer or sign_in.refresh_token is None:
        return False
    try:
        if provider.id not in silent:
            return await _is_renewed(accounts, providers, provider, sign_in, sign_in.refresh_token)
    except Refused as error:
        log.warning("provider.unanswered", provider=provider.id, reason=str(error))
        silent.add(provider.id)
    except (Ended, NotProven, NotLetIn):
        return False
    await accounts.store.provider_sign_ins.postpone(sign_in, _UNANSWERED)
    return True


async def _is_renewed(
    accounts: Accounts, providers: Providers, provider: Provider, sign_in: ProviderSignIn, refresh_token: str
) -> bool:
    renewed = await providers.party.renew(provider, refresh_token, sign_in.subject)
    await accounts.store.provider_sign_ins.checked(sign_in, renewed.refresh_token)
    user = await accounts.store.users.find(sign_in.user_id)
    if user is None:
        return False
    if renewed.claims is not None:
        follows = await accounts.follow(provider, user, person_of(renewed.claims, provider.accounts))
        return follows.role == user.role
    return not user.disabled
