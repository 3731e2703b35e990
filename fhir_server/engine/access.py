"""The one access rule: what a caller may do, and which resources exist for that caller.

Every interaction asks it, and nothing else decides. `OpenAccess` is the rule of a server started with `--open`,
`auth.access.ScopedAccess` that of a SMART token. Interactions are named as FHIR names them: "read", "search-type".
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from fhir_server.auth.permission.patient_writes import Change
from fhir_server.errors import Forbidden
from fhir_server.r4.reports import unmarked
from fhir_server.search.query.conditions import Condition


class Access(Protocol):
    """What one caller may do and see."""

    def require(self, interaction: str, resource_type: str | None) -> None:
        """Raise Forbidden unless the caller's scopes cover the interaction on the type."""

    def visible(self, resource_type: str, interaction: str = "search-type") -> Condition | None:
        """Return the search condition of what the interaction may see or touch; None means everything of the type.

        Chains, `_has`, includes and sorting see what a search sees.
        """

    def attributed(self, resource: Mapping[str, Any], interaction: str) -> Mapping[str, Any]:
        """Return the resource with the mark of who reports it, or without one where it is not a patient's report."""

    def admit(self, change: Change) -> None:
        """Raise Forbidden unless the caller may make the change."""

    def links(self, change: Change) -> Iterable[tuple[str, str, Condition | None]]:
        """Return the type and id of what the change leads to, where the caller must be one who may see it.

        Each with the condition of what the caller may lead to; None means everything of the type.
        """


class OpenAccess:
    """Allow everything: authorization is switched off."""

    def require(self, interaction: str, resource_type: str | None) -> None:
        """Allow any interaction."""

    def visible(self, resource_type: str, interaction: str = "search-type") -> Condition | None:
        """Return no condition."""
        return None

    def attributed(self, resource: Mapping[str, Any], interaction: str) -> Mapping[str, Any]:
        """Return the resource without a mark: it is no patient's report."""
        return unmarked(resource)

    def admit(self, change: Change) -> None:
        """Allow any content."""

    def links(self, change: Change) -> Iterable[tuple[str, str, Condition | None]]:
        """Allow any links."""
        return ()


def acts_for(access: Access) -> frozenset[str] | None:
    """Return the patients whom the caller acts for now; None where the caller is not confined to some that change.

    What was made for the caller earlier is given only as long as the caller still acts for those that it was made of.
    """
    patients: frozenset[str] | None = getattr(access, "patients", None)
    return patients


def require_acting_for(access: Access, patients: Iterable[str]) -> None:
    """Raise Forbidden where the caller does not act any longer for one of those whose data was shown then."""
    current = acts_for(access)
    if current is not None and not current.issuperset(patients):
        raise Forbidden("It was made when the user saw more patients than now: ask again.")


def owner_of(access: Access) -> str:
    """Return what names the client and user whose work, tables and caches these are; all are one on an open server."""
    token = getattr(access, "token", None)
    return "" if token is None else f"{token.client_id} {token.user_id or ''}"


def viewer(access: Access, types: Iterable[str], interaction: str = "search-type", *, others: bool = False) -> str:
    """Return a name for what a caller may see of the types, the same for all who see the same.

    With `others` also for what may be seen of all other types, which a chain or an include may lead to.
    """
    view: str | None = getattr(access, "rights" if others else "sees_as", None)
    if view is not None:
        return hashlib.sha256(view.encode()).hexdigest()[:16]
    seen = [(name, part) for name in types if (part := access.visible(name, interaction)) is not None]
    return hashlib.sha256(repr(seen).encode()).hexdigest()[:16] if seen else ""
