"""People of the records: who one is and what to call them, and on whose record a user may let an app work."""

from __future__ import annotations

from functools import partial
from typing import Any

from fhir_server.auth.accounts.user import User
from fhir_server.auth.permission.access import ScopedAccess
from fhir_server.engine.context import Context
from fhir_server.engine.context import Request as FhirRequest
from fhir_server.engine.engine import handle
from fhir_server.engine.panels import panel_of
from fhir_server.errors import FhirError
from fhir_server.http.audit.audit_context import noted
from fhir_server.http.oauth.server import AuthorizationServer
from fhir_server.r4 import values
from fhir_server.r4.human_names import human_name, official_name
from fhir_server.r4.ids import is_id

"""What a logical id is; anything else must not become part of a path."""


async def ask(
    server: AuthorizationServer,
    path: str,
    query: list[tuple[str, str]],
    scope: str = "user/Patient.rs",
    *,
    user: User | None = None,
) -> dict[str, Any] | None:
    """Return what the FHIR server answers to a staff member who has just that scope, or None.

    It is the `user`, with the patients of that one, where it is any in particular.
    """
    access = ScopedAccess.of_staff(scope)
    if user is not None and (user.role == "practitioner" or is_related(user)):
        panel = await panel_of(server.services, user.fhir_user)
        access = access if panel is None else access.seeing(panel)
    context = Context(server.services, server.base_url, access=access)
    try:
        response = await noted(partial(handle, context))(FhirRequest("GET", path, query))
    except FhirError:
        return None
    resource: dict[str, Any] = values.decode(response.json or b"null")
    return resource


async def patient_exists(server: AuthorizationServer, resource_id: str, user: User | None = None) -> bool:
    """Return whether there is such a patient, whom the user sees where one is named."""
    return is_id(resource_id) and await ask(server, f"Patient/{resource_id}", [], user=user) is not None


async def encounter_exists(server: AuthorizationServer, encounter: str, patient: str | None) -> bool:
    """Return whether there is such an encounter, of the patient where one is named."""
    resource = await ask(server, f"Encounter/{encounter}", [], "user/Encounter.rs")
    return resource is not None and patient in (
        None,
        resource.get("subject", {}).get("reference", "").partition("/")[2],
    )


async def may_open(server: AuthorizationServer, user: User, patient: str) -> bool:
    """Return whether the user may let an app work on the patient, whoever says that it shall.

    Patients work on themselves, and somebody related on the patient of that relation; staff on the patients seen.
    """
    if user.role == "patient":
        return patient == user.patient
    return await patient_exists(server, patient, user)


def is_related(user: User) -> bool:
    """Return whether the user acts for the one patient whom a RelatedPerson names, whatever the account's role says."""
    return (user.fhir_user or "").startswith("RelatedPerson/")


async def patient_name(server: AuthorizationServer, resource_id: str) -> str:
    """Return how to call the patient; the id where the patient has no name."""
    patient = await ask(server, f"Patient/{resource_id}", [])
    return name_of(patient) or resource_id if patient else resource_id


def name_of(person: dict[str, Any]) -> str:
    """Return how to call a person; empty where there is no name."""
    return human_name(official_name(person)) or ""
