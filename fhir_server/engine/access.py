"""The one access rule: what a caller may do, and which resources exist for that caller.

Every interaction asks it, and nothing else decides. `OpenAccess` is the rule of a server started with `--open`; the
rule of a SMART token is another implementation. Break-the-glass and consent enforcement belong here too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Access(Protocol):
    """What one caller may do and see."""

    def require(self, interaction: str, resource_type: str | None) -> None:
        """Raise Forbidden unless the caller's scopes cover the FHIR interaction ("read", "create") on the type."""

    def where(self, resource_type: str) -> Mapping[str, Any] | None:
        """Return the database condition that a visible resource of the type meets; None means all are visible."""

    def admit(self, resource: Mapping[str, Any]) -> None:
        """Raise Forbidden unless the caller may write the resource with this content."""


class OpenAccess:
    """Allow everything: authorization is switched off."""

    def require(self, interaction: str, resource_type: str | None) -> None:
        """Allow any interaction."""

    def where(self, resource_type: str) -> Mapping[str, Any] | None:
        """Return no condition."""
        return None

    def admit(self, resource: Mapping[str, Any]) -> None:
        """Allow any content."""
