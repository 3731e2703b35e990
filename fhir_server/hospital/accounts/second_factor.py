"""The second factor at the app's login: the password is answered with a challenge, and the challenge with a code."""

from __future__ import annotations

from fhir_server.auth.accounts.user import User as Account
from fhir_server.auth.tokens.secrets import fingerprint
from fhir_server.engine.account_status import is_active
from fhir_server.engine.second_factor.factors import SecondFactors
from fhir_server.engine.sign_in import NotSignedIn
from fhir_server.hospital.api.problem import Problem
from fhir_server.hospital.api.server import FacadeServer
from fhir_server.http.audit.audit_context import seen
from fhir_server.store.accounts.provider_sign_ins import Pending

_PASSWORD_PROVEN = "app: password proven"  # noqa: S105 - what a waiting sign-in is called


async def require(server: FacadeServer, account: Account) -> None:
    """Raise Problem where the account has a second factor, which is then to be proven, or must have one."""
    factors = SecondFactors(server.settings, server.accounts)
    if await factors.is_set(account):
        data = {"user": account.id, "password": fingerprint(account.password_hash)}
        challenge = await server.accounts.pending.add(Pending(_PASSWORD_PROVEN, "", data))
        raise Problem("second_factor_required", challenge=challenge)
    if factors.is_required(account):
        raise Problem("second_factor_missing")


async def proven(server: FacadeServer, challenge: str, code: str, address: str | None) -> Account:
    """Return the account whose challenge and code these are; raises Problem. A challenge signs in once."""
    pending = await server.accounts.pending.find(challenge)
    if pending is None or pending.provider != _PASSWORD_PROVEN:
        raise Problem("invalid_credentials")
    account = await server.accounts.users.find(pending.data["user"])
    if account is None or fingerprint(account.password_hash) != pending.data["password"]:
        raise Problem("invalid_credentials")
    seen().by_user(account)
    if account.disabled or not await is_active(server.services, account.fhir_user):
        raise Problem("account_inactive")
    try:
        method = await SecondFactors(server.settings, server.accounts).prove(account, code, address)
    except NotSignedIn as error:
        raise Problem(error.reason, headers={"Retry-After": str(error.wait)} if error.wait else {}) from error
    if await server.accounts.pending.take(challenge) is None:
        raise Problem("invalid_credentials")
    seen().about(second_factor=method)
    return account
