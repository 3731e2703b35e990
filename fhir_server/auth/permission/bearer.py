"""What an access token stands for: which client acts, for which user, with which scopes and launch context."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from fhir_server.auth.accounts.user import Role
from fhir_server.auth.permission.scopes import Scopes


@dataclass(frozen=True, slots=True)
class LaunchContext:
    """The context of a launch; `extra` holds what is told to the app but decides nothing, such as the intent.

    https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html#scopes-for-requesting-context-data
    """

    patient: str | None = None
    encounter: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def response(self) -> dict[str, Any]:
        """Return the members that stand beside an access token."""
        named = {"patient": self.patient, "encounter": self.encounter}
        return {name: value for name, value in named.items() if value is not None} | self.extra


@dataclass(frozen=True, slots=True)
class BearerToken:
    """A live access token; a backend service's has no user."""

    client_id: str
    scopes: Scopes
    expires: datetime
    issued: datetime
    user_id: str | None = None
    username: str | None = None
    role: Role | None = None
    fhir_user: str | None = None
    """Relative reference of the user's resource."""
    context: LaunchContext = field(default_factory=LaunchContext)
    grant: str | None = None
    sign_in_only: bool = False
    """Whether it was asked for without naming a FHIR base: it tells who the user is, and opens no FHIR server."""

    provider: str | None = None
    """The outside provider that issued it; None for a token of this server's own."""

    @property
    def subject(self) -> str:
        """The `sub`: the user, or the client that acts for itself."""
        return self.user_id or self.client_id

    @property
    def rights(self) -> str:
        """What the token's rights rest on, as one text: equal for tokens that may do the same."""
        pairs = {
            "scopes": " ".join(sorted(str(self.scopes).split())),
            "patient": self.context.patient or "",
            "role": self.role or "",
            "user": self.fhir_user or "",
        }
        return urlencode(pairs)
