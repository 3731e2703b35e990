"""The access rule of a token: what its scopes let it do, and which resources exist for it.

It implements `engine.access.Access`. Each interaction needs one permission; the scopes that give it on a type each see
a part of that type (the launch patient's, what the user may see, all), perhaps narrowed by search parameters; together
they see what any of them sees. https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from fhir_server.auth.permission.bearer import BearerToken
from fhir_server.auth.permission.compartment import of_patient, shared
from fhir_server.auth.permission.patient_writes import RULES, Change, Writer, changeable, links, require_permitted
from fhir_server.auth.permission.scopes import Level, Scope, Scopes, parse_scopes
from fhir_server.auth.permission.staff import Panel
from fhir_server.errors import Forbidden, Unauthorized
from fhir_server.r4.reports import marked, unmarked
from fhir_server.r4.subscriber import subscriber_name
from fhir_server.search.index.index import SUBSCRIBER
from fhir_server.search.index.keys import clean
from fhir_server.search.query.conditions import NOTHING, AnyOf, Condition, HasId, HasKey, every
from fhir_server.search.query.match import holds
from fhir_server.search.query.parse import parse

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

IMPORT = "import"
"""Storing what a source holds, which is for services and operators: the server fetches it in their name."""

_OPEN_TO_ALL = frozenset({"capabilities"})
_DECIDED_INSIDE = frozenset({"batch", "operation", "async-status", "async-cancel", "async-file"})
"""Interactions that ask again for each thing they do."""

_AUDIT = "AuditEvent"
_SUBSCRIPTION = "Subscription"
_UNDER_CARE = frozenset({"Patient", "RelatedPerson"})
"""Users who are no staff, whatever their account's role says."""


def grantable(scopes: Scopes, role: str | None) -> Scopes:
    """Return those of the scopes that a user of the role can be given: the audit trail is for auditors only."""
    return scopes.without_types({_AUDIT}, levels=_levels_without_audit(role))


def _levels_without_audit(role: str | None) -> frozenset[Level]:
    return frozenset({"patient"}) if role == "admin" else frozenset({"patient", "user"})


class ScopedAccess:
    """What the bearer of one token may do and see; kept with the token, so that conditions are made once.

    `on_behalf`: it is the server that writes, on the bearer's behalf. It then writes what it has checked itself, within
    the patient's compartment; a patient-level bearer writes by the table of `patient_writes`.
    """

    def __init__(
        self,
        token: BearerToken,
        *,
        timezone: str = "UTC",
        base_url: str = "",
        on_behalf: bool = False,
        panel: Panel | None = None,
    ) -> None:
        self.token = token
        self._panel = panel
        self._seeing: ScopedAccess | None = None
        self._on_behalf = on_behalf
        self._timezone = timezone
        self._base_url = base_url
        self._conditions: dict[tuple[str, str], Condition | None] = {}
        self._writers: dict[tuple[str, str], Writer | None] = {}

    @property
    def is_staff(self) -> bool:
        """Whether a member of the staff acts, who sees of patients what the hospital's policy says."""
        kind = (self.token.fhir_user or "").partition("/")[0]
        levels = any(self.token.scopes.has_level(level) for level in ("user", "patient"))
        return self.token.role == "practitioner" and kind not in _UNDER_CARE and levels

    @property
    def is_for_others(self) -> bool:
        """Whether the user acts for others than themselves: staff for patients, somebody related for one."""
        return self.is_staff or (self.token.fhir_user or "").startswith("RelatedPerson/")

    @property
    def patients(self) -> frozenset[str] | None:
        """The patients that the bearer acts for now; None where that is not what confines the bearer."""
        return self._panel.patients if self._panel is not None else None

    @property
    def sees_as(self) -> str | None:
        """What names the view of whoever acts for patients that come and go; None for everybody else."""
        return f"{self.token.fhir_user} {self.token.scopes}" if self._panel is not None else None

    @property
    def rights(self) -> str:
        """What names all that the bearer may see, the same for tokens that are alike in it."""
        token = self.token
        return self.sees_as or f"{token.role} {token.context.patient} {self._on_behalf} {token.scopes}"

    def seeing(self, panel: Panel) -> ScopedAccess:
        """Return the same access, by `user/` scopes to these patients only, by `patient/` scopes to one of them."""
        if self._seeing is None or self._seeing._panel != panel:
            self._seeing = self._made_for(self.token, panel, on_behalf=self._on_behalf)
        return self._seeing

    def on_behalf(self, scopes: Scopes) -> ScopedAccess:
        """Return the access of the server for the bearer, by these scopes, to no more patients than the bearer's."""
        return self._made_for(replace(self.token, scopes=scopes), self._panel, on_behalf=True)

    def _made_for(self, token: BearerToken, panel: Panel | None, *, on_behalf: bool) -> ScopedAccess:
        return ScopedAccess(token, timezone=self._timezone, base_url=self._base_url, on_behalf=on_behalf, panel=panel)

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
        if interaction == IMPORT and self._may_import(resource_type or "*"):
            return
        if interaction == PURGE and self._may_purge(resource_type or ""):
            return
        if permission is not None and self._has(permission, resource_type):
            return
        if permission is not None and self._is_kept_from_patients(permission, resource_type):
            raise Forbidden(
                f"A patient's token has no {interaction} of {resource_type} over FHIR; it reports "
                f"{', '.join(sorted(RULES))}."
            )
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

    def _may_import(self, resource_type: str) -> bool:
        """Return whether a service or an operator acts, by a scope that lets the type be stored."""
        levels = {"system", "user"} if self.token.role == "admin" else {"system"}
        return any(
            scope.level in levels
            and (resource_type == "*" or scope.covers("c", resource_type) or scope.covers("u", resource_type))
            and set(scope.permissions) & set("cu")
            for scope in self.token.scopes.resources
        )

    def _has(self, permission: str, resource_type: str | None) -> bool:
        if resource_type is None or resource_type == "*":
            return any(
                permission in scope.permissions and self._reaches(scope) for scope in self.token.scopes.resources
            )
        return self._condition(resource_type, permission) != NOTHING

    def _is_kept_from_patients(self, permission: str, resource_type: str | None) -> bool:
        """Return whether the scopes would give the permission, but only to write what is not a patient's to write."""
        return (
            permission in "cud"
            and not self._has(permission, resource_type)
            and any(
                scope.covers(permission, resource_type or "") and self._reaches(scope)
                for scope in self.token.scopes.resources
                if self._is_confined(scope) and self._is_allowed(scope, resource_type or "", permission)
            )
        )

    def _reaches(self, scope: Scope) -> bool:
        return scope.level == "system" or not self._is_confined(scope) or self._patient(scope) is not None

    def visible(self, resource_type: str, interaction: str = "search-type") -> Condition | None:
        """Return the condition of what the interaction may see or touch; None means everything of the type."""
        return self._condition(resource_type, PERMISSIONS[interaction])

    def attributed(self, resource: Mapping[str, Any], interaction: str) -> Mapping[str, Any]:
        """Return the resource marked as reported by the bearer, or without a mark where the bearer is no patient."""
        resource_type = str(resource["resourceType"])
        writer = self._writer(resource_type, PERMISSIONS[interaction])
        if writer is None or resource_type == "Patient":
            return unmarked(resource)
        return marked(resource, writer.reporter)

    def admit(self, change: Change) -> None:
        """Raise Forbidden unless the change is one that the bearer may make."""
        permission = PERMISSIONS[change.interaction]
        writer = self._writer(change.type, permission)
        if writer is not None:
            require_permitted(change, writer)
        if self._panel is not None and self._panel.names_another(change.entry):
            raise Forbidden("A patient whom the user does not see is named.")
        condition = self._condition(change.type, permission)
        if condition is None or holds(condition, {**change.entry, "_id": change.id, "updated": datetime.now(UTC)}):
            return
        raise Forbidden(f"The access token does not permit a {change.type} with this content.")

    def links(self, change: Change) -> Iterable[tuple[str, str, Condition | None]]:
        """Return what a patient's report leads to, with the condition of what is the patient's or nobody's."""
        writer = self._writer(change.type, PERMISSIONS[change.interaction])
        if writer is None:
            return ()
        return [(kind, one, _of_patient_or_shared(kind, writer.patient)) for kind, one in sorted(links(change, writer))]

    def _writer(self, resource_type: str, permission: str) -> Writer | None:
        """Return who writes by the table of patients' writes; None where more than a patient's right covers the write.

        A scope beyond a patient's own gives the right as it is; whoever has but patient-level scopes reports.
        """
        key = (resource_type, permission)
        if key not in self._writers:
            self._writers[key] = None if self._on_behalf else self._made_writer(resource_type, permission)
        return self._writers[key]

    def _made_writer(self, resource_type: str, permission: str) -> Writer | None:
        if resource_type == _SUBSCRIPTION:
            return None  # the criteria are what confines it, to what the bearer may read
        covering = [scope for scope in self.token.scopes.resources if scope.covers(permission, resource_type)]
        patients = [self._patient(scope) for scope in covering if self._is_confined(scope)]
        patient = next(filter(None, patients), None)
        if patient is None or len(patients) < len(covering):
            return None
        return self._writer_for(patient)

    def _writer_for(self, patient: str) -> Writer:
        return Writer(patient, self.token.fhir_user or f"Patient/{patient}", self._base_url)

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
        if permission not in "rsc" or scope.level in _levels_without_audit(self.token.role):
            return False
        return scope.level == "system" or permission != "c"

    def _seen(self, scope: Scope, resource_type: str, permission: str) -> Condition | None:
        """Return the condition of what one scope sees of a type; None for everything."""
        region = self._region(scope, resource_type, permission)
        if region == NOTHING or not scope.parameters:
            return region
        query = parse((resource_type,), scope.parameters, strict=True, timezone=self._timezone, base_url=self._base_url)
        narrowed = query.condition(resource_type)
        return narrowed if region is None else every([region, narrowed])

    def _region(self, scope: Scope, resource_type: str, permission: str) -> Condition | None:
        if resource_type == _SUBSCRIPTION:
            return self._subscriptions(scope)
        if not self._is_confined(scope):
            confined = self._panel is not None and scope.level == "user"
            return self._panel.region(resource_type, permission) if self._panel and confined else None
        patient = self._patient(scope)
        if patient is None or self._is_seen_no_more(patient):
            return NOTHING
        if permission not in "cud":
            return _of_patient_or_shared(resource_type, patient)
        if self._on_behalf:
            return of_patient(resource_type, patient)
        return changeable(resource_type, permission, self._writer_for(patient))

    def _subscriptions(self, scope: Scope) -> Condition | None:
        """Return the condition of the Subscriptions that a scope reaches: all by `system/`, else the bearer's own."""
        if scope.level == "system" or (scope.level == "user" and self.token.role == "admin"):
            return None
        if not self._reaches(scope):
            return NOTHING
        return HasKey((f"{SUBSCRIBER}={clean(subscriber_name(self.token.client_id, self.token.user_id))}",))

    def _is_seen_no_more(self, patient: str) -> bool:
        """Return whether whoever granted `patient/` scopes does not act for the patient any longer."""
        return self._panel is not None and patient not in self._panel.patients

    def _is_confined(self, scope: Scope) -> bool:
        """Return whether the scope sees the records of one patient only: of `patient/`, and of users under care."""
        if scope.level != "user":
            return scope.level == "patient"
        kind = (self.token.fhir_user or "").partition("/")[0]
        return self.token.role == "patient" or kind in _UNDER_CARE

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


def _of_patient_or_shared(resource_type: str, patient: str) -> Condition | None:
    own, others = of_patient(resource_type, patient), shared(resource_type)
    if others is None or own == NOTHING:
        return others
    return own if others == NOTHING else AnyOf((own, others))


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

    def attributed(self, resource: Mapping[str, Any], interaction: str) -> Mapping[str, Any]:
        """Return the resource without a mark."""
        return unmarked(resource)

    def links(self, change: Change) -> Iterable[tuple[str, str, Condition | None]]:
        """Return nothing: there is no change."""
        return ()

    def admit(self, change: Change) -> None:
        """Raise Unauthorized."""
        raise unauthorized("This needs an access token.")


def unauthorized(diagnostics: str, error: str | None = None) -> Unauthorized:
    """Return the error for a missing or bad token, with its challenge. https://www.rfc-editor.org/rfc/rfc6750#section-3"""
    refused = Unauthorized(diagnostics)
    refused.headers["WWW-Authenticate"] = 'Bearer realm="fhir"' + (f', error="{error}"' if error else "")
    return refused
