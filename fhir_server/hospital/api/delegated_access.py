"""What the facade may do on a user's behalf: what the user's own data is, and beyond that what booking needs.

The user's token decides whether an endpoint may be used at all. An appointment then also takes a Slot, which is
nobody's, and an Invoice, which no patient may write; those the facade writes itself, within the same patient's
compartment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fhir_server.auth.permission.access import ScopedAccess
from fhir_server.auth.permission.patient_writes import Change
from fhir_server.auth.permission.scopes import parse_scopes
from fhir_server.engine.access import Access
from fhir_server.r4.reports import marked
from fhir_server.search.query.conditions import Condition

_OWN = parse_scopes("patient/*.cruds")
_STAFF = parse_scopes("user/*.cruds")
_REPORTED = frozenset({"Binary", "DocumentReference"})
"""What the facade writes with a user's own content: it is the user's word, and stays recognisable as that."""
_NOBODYS = frozenset({"Slot", "Schedule", "PaymentReconciliation"})


def _is_free(resource_type: str, interaction: str) -> bool:
    # The facade writes on condition of the version that it read, or of there being none: it saw what it replaces.
    return resource_type in _NOBODYS or interaction == "update"


class ActingAccess:
    """The access to all that is the user's, and to the types without an owner that go with it."""

    def __init__(self, access: ScopedAccess) -> None:
        patient = access.token.context.patient
        self._own: Access = access.on_behalf(_OWN if patient else _STAFF)
        self._reporter = f"Patient/{patient}" if patient else None

    def require(self, interaction: str, resource_type: str | None) -> None:
        """Raise Forbidden for what is neither."""
        if resource_type not in _NOBODYS:
            self._own.require(interaction, resource_type)

    def visible(self, resource_type: str, interaction: str = "search-type") -> Condition | None:
        """Return the condition of what may be seen."""
        return None if _is_free(resource_type, interaction) else self._own.visible(resource_type, interaction)

    def attributed(self, resource: Mapping[str, Any], interaction: str) -> Mapping[str, Any]:
        """Return the resource, marked as the user's report where it holds a file that the user sends."""
        if self._reporter is not None and resource["resourceType"] in _REPORTED:
            return marked(resource, self._reporter)
        return self._own.attributed(resource, interaction)

    def admit(self, change: Change) -> None:
        """Raise Forbidden for content that is another's."""
        if change.type not in _NOBODYS:
            self._own.admit(change)

    def links(self, change: Change) -> Iterable[tuple[str, str, Condition | None]]:
        """Return nothing: the facade writes what it has looked up itself."""
        return ()
