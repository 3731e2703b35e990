"""Enrolling a second factor and proving it: the pages, the hospital's endpoints and the command line all ask here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fhir_server.auth.accounts import one_time_codes, throttle
from fhir_server.auth.accounts.user import User
from fhir_server.engine.sign_in import NotSignedIn
from fhir_server.settings import Settings
from fhir_server.store.accounts.oauth import OAuthStore


class WrongCode(Exception):
    """The code is not the one that the authenticator shows now."""


@dataclass(frozen=True, slots=True)
class SecondFactors:
    """The second factors of one server's accounts."""

    settings: Settings
    store: OAuthStore[Any]

    async def is_set(self, user: User) -> bool:
        """Return whether the account has a second factor, without which no password signs in to it."""
        return await self.store.second_factors.find(user.id) is not None

    def is_required(self, user: User) -> bool:
        """Return whether the settings want one of the account."""
        required = self.settings.require_second_factor
        return required == "all" or (required == "staff" and user.role != "patient")

    async def enrol(self, user: User, secret: str, code: str) -> list[str]:
        """Store a new second factor once its code proves that it works; return its recovery codes, told only now.

        Raises WrongCode.
        """
        step = one_time_codes.step_of(secret, code)
        if step is None:
            raise WrongCode
        codes = one_time_codes.new_recovery_codes()
        await self._put(user, secret, step, codes)
        return codes

    async def enrol_unproven(self, user: User) -> tuple[str, list[str]]:
        """Store a new second factor and return its secret and recovery codes: for the operator, who passes them on."""
        secret, codes = one_time_codes.new_secret(), one_time_codes.new_recovery_codes()
        await self._put(user, secret, 0, codes)
        return secret, codes

    async def _put(self, user: User, secret: str, step: int, codes: list[str]) -> None:
        key = self.store.recovery_key()
        fingerprints = [one_time_codes.recovery_fingerprint(code, key) or "" for code in codes]
        await self.store.second_factors.put(user.id, secret, step, fingerprints)

    async def prove(self, user: User, code: str, address: str | None) -> str:
        """Return how the code proves the second factor, "otp" or "recovery-code"; raises NotSignedIn.

        Failures count under the account, whichever password came before.
        """
        counts = throttle.counts(f"second factor {user.id}", address, None)
        wait = await self.store.attempts.begin(counts)
        if wait:
            raise NotSignedIn("too_many_attempts", user, wait)
        method = await self._method(user, code)
        if method is None:
            raise NotSignedIn("invalid_credentials", user)
        await self.store.attempts.forgive(counts)
        return method

    async def _method(self, user: User, code: str) -> str | None:
        factor = await self.store.second_factors.find(user.id)
        if factor is None:
            return None
        step = one_time_codes.step_of(factor.secret, code) if factor.secret is not None else None
        if step is not None and await self.store.second_factors.use_step(user.id, step):
            return "otp"
        recovery = one_time_codes.recovery_fingerprint(code, self.store.recovery_key())
        if recovery is not None and await self.store.second_factors.use_recovery(user.id, recovery):
            return "recovery-code"
        return None
