"""The access rule of a token: what its scopes let it do, and which resources exist for it.

It implements `engine.access.Access`. Each interaction needs one permission; the scopes that give it on a type each see
a part of that type (the launch patient's, what the user may see, all), perhaps narrowed by search parameters; together
they see what any of them sees. https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fhir_server.auth.bearer import BearerToken
from fhir_server.auth.compartment import of_patient, shared
from fhir_server.auth.scopes import Scope, Scopes, parse_scopes
from fhir_server.errors import Forbidden, Unauthorized
from fhir_server.search.conditions import NOTHING, AnyOf, Condition, HasId, every
from fhir_server.search.filters import to_filter
from fhir_server.search.match import holds
from fhir_server.search.parse import parse

PERMISSIONS: Mapping[str, str] = {
    "create": "c",
    "read": "r",
    "vread": "r",
    "history-instance": "r",
    "update": "u",
    "patch": "u",
    "conditional-update": "u",
    "conditional-patch": "u",
    "delete": "d",
    "conditional-delete": "d",
    "search-type": "s",
    "search-system": "s",
    "history-type": "s",
    "history-system": "s",
}
"""The permission that each interaction needs. What a condition finds is searched for, so it needs `s` besides."""

PURGE = "purge"
"""Removing versions for good, which no scope gives by itself: it is an operator's."""

_OPEN_TO_ALL = frozenset({"capabilities"})
_DECIDED_INSIDE = frozenset({"batch", "operation"})
"""Interactions that ask again for each thing they do."""

_AUDIT = "AuditEvent"


class ScopedAccess:
    """What the bearer of one token may do and see; kept with the token, so that conditions are made once."""

    def __init__(self, token: BearerToken, *, timezone: str = "UTC", base_url: str = "") -> None:
        self.token = token
        self._timezone = timezone
        self._base_url = base_url
        self._conditions: dict[tuple[str, str], Condition | None] = {}
        self._filters: dict[tuple[str, str], Mapping[str, Any] | None] = {}

    @classmethod
    def of_staff(cls, scopes: str) -> ScopedAccess:
        """Return the access of a member of the staff, for what the server itself does on such a one's behalf."""
        now = datetime.now(UTC)
        return cls(BearerToken("fhir-server", parse_scopes(scopes), now, now, role="practitioner"))

    def require(self, interaction: str, resource_type: str | None) -> None:
        """Raise Forbidden (`insufficient_scope`) unless the scopes give the permission that the interaction needs."""
        if interaction in _OPEN_TO_ALL or (interaction in _DECIDED_INSIDE and self.token.scopes.resources):
            return
        permission = PERMISSIONS.get(interaction)
        if interaction == PURGE and self._may_purge(resource_type or ""):
            return
        if permission is not None and self._has(permission, resource_type):
            return
        what = "on any type" if resource_type in (None, "*") else f"on {resource_type}"
        error = Forbidden(f"The access token has no scope for {interaction} {what}.")
        error.headers["WWW-Authenticate"] = 'Bearer realm="fhir", error="insufficient_scope"'
        raise error

    def _may_purge(self, resource_type: str) -> bool:
        """Return whether an operator acts, by a scope that lets all of the type be deleted."""
        return self.token.role == "admin" and any(
            scope.level == "user" and scope.covers("d", resource_type) and not scope.parameters
            for scope in self.token.scopes.resources
        )

    def _has(self, permission: str, resource_type: str | None) -> bool:
        if resource_type is None or resource_type == "*":
            return any(
                permission in scope.permissions and self._reaches(scope) for scope in self.token.scopes.resources
            )
        return self._condition(resource_type, permission) != NOTHING

    def _reaches(self, scope: Scope) -> bool:
        return scope.level == "system" or not self._is_confined(scope) or self._patient(scope) is not None

    def visible(self, resource_type: str, interaction: str = "search-type") -> Condition | None:
        """Return the condition of what the interaction may see or touch; None means everything of the type."""
        return self._condition(resource_type, PERMISSIONS[interaction])

    def where(self, resource_type: str, interaction: str = "search-type") -> Mapping[str, Any] | None:
        """Return the same as a filter of the database."""
        key = (resource_type, PERMISSIONS[interaction])
        if key not in self._filters:
            condition = self._condition(*key)
            self._filters[key] = None if condition is None else to_filter(condition)
        return self._filters[key]

    def admit(self, resource_type: str, resource_id: str, entry: Mapping[str, Any], interaction: str) -> None:
        """Raise Forbidden unless a resource with this id and index entry may be stored by the interaction."""
        condition = self._condition(resource_type, PERMISSIONS[interaction])
        if condition is None or holds(condition, {**entry, "_id": resource_id, "updated": datetime.now(UTC)}):
            return
        raise Forbidden(f"The access token does not permit a {resource_type} with this content.")

    def _condition(self, resource_type: str, permission: str) -> Condition | None:
        key = (resource_type, permission)
        if key not in self._conditions:
            self._conditions[key] = self._made(resource_type, permission)
        return self._conditions[key]

    def _made(self, resource_type: str, permission: str) -> Condition | None:
        seen = [
            self._seen(scope, resource_type, permission)
            for scope in self.token.scopes.resources
            if scope.covers(permission, resource_type) and self._is_allowed(scope, resource_type, permission)
        ]
        seen.append(self._own_resource(resource_type, permission))
        if None in seen:
            return None
        kept = [condition for condition in seen if condition is not None and condition != NOTHING]
        return kept[0] if len(kept) == 1 else AnyOf(tuple(kept))

    def _is_allowed(self, scope: Scope, resource_type: str, permission: str) -> bool:
        """Return whether the policy of this server lets such a scope be used: the audit trail is for auditors only.

        Consent directives and break-the-glass would be decided here, too.
        """
        if resource_type != _AUDIT:
            return True
        if scope.type != _AUDIT or permission not in "rsc":
            return False
        return scope.level == "system" or (scope.level == "user" and self.token.role == "admin" and permission != "c")

    def _seen(self, scope: Scope, resource_type: str, permission: str) -> Condition | None:
        """Return the condition of what one scope sees of a type; None for everything."""
        region = self._region(scope, resource_type, permission)
        if region == NOTHING or not scope.parameters:
            return region
        query = parse((resource_type,), scope.parameters, strict=True, timezone=self._timezone, base_url=self._base_url)
        narrowed = query.condition(resource_type)
        return narrowed if region is None else every([region, narrowed])

    def _region(self, scope: Scope, resource_type: str, permission: str) -> Condition | None:
        if not self._is_confined(scope):
            return None
        patient = self._patient(scope)
        if patient is None:
            return NOTHING
        own, others = of_patient(resource_type, patient), NOTHING if permission in "cud" else shared(resource_type)
        if others is None or own == NOTHING:
            return others
        return own if others == NOTHING else AnyOf((own, others))

    def _is_confined(self, scope: Scope) -> bool:
        """Return whether the scope sees the records of one patient only."""
        return scope.level == "patient" or (scope.level == "user" and self.token.role == "patient")

    def _patient(self, scope: Scope) -> str | None:
        if scope.level == "patient":
            return self.token.context.patient
        kind, _, resource_id = (self.token.fhir_user or "").partition("/")
        return resource_id if kind == "Patient" else None

    def _own_resource(self, resource_type: str, permission: str) -> Condition:
        """Return the condition of the user's own resource, which the scope fhirUser lets an app read."""
        kind, _, resource_id = (self.token.fhir_user or "").partition("/")
        if permission == "r" and kind == resource_type and "fhirUser" in self.token.scopes:
            return HasId((resource_id,))
        return NOTHING


class NoAccess:
    """The access of a caller without a token: to what the server can do, and nothing else."""

    token = BearerToken("anonymous", Scopes(), datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC))

    def require(self, interaction: str, resource_type: str | None) -> None:
        """Raise Unauthorized for all but the capabilities."""
        if interaction not in _OPEN_TO_ALL:
            raise unauthorized("This needs an access token.")

    def visible(self, resource_type: str, interaction: str = "search-type") -> Condition | None:
        """Return what nothing meets."""
        return NOTHING

    def where(self, resource_type: str, interaction: str = "search-type") -> Mapping[str, Any] | None:
        """Return what nothing meets."""
        return to_filter(NOTHING)

    def admit(self, resource_type: str, resource_id: str, entry: Mapping[str, Any], interaction: str) -> None:
        """Raise Unauthorized."""
        raise unauthorized("This needs an access token.")


def unauthorized(diagnostics: str, error: str | None = None) -> Unauthorized:
    """Return the error for a missing or bad token, with its challenge. https://www.rfc-editor.org/rfc/rfc6750#section-3"""
    refused = Unauthorized(diagnostics)
    refused.headers["WWW-Authenticate"] = 'Bearer realm="fhir"' + (f', error="{error}"' if error else "")
    return refused
