"""The end of sign-ins with providers, and of all that rests on them: sessions, grants and tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fhir_server.store.accounts.oauth import OAuthStore


async def end_sign_ins(store: OAuthStore[Any], sign_ins: Sequence[str]) -> None:
    """End the sign-ins with what rests on them; on every worker when it returns."""
    if sign_ins:
        await store.sessions.end_resting_on(sign_ins)
        await store.grants.revoke_resting_on(sign_ins)
        await store.provider_sign_ins.remove(sign_ins)
