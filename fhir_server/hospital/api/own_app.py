"""The hospital's own app as a client of the authorization server: its id and its scopes."""

from __future__ import annotations

from fhir_server.auth.clients.client import Client
from fhir_server.auth.permission.scopes import parse_scopes
from fhir_server.engine.access import Access
from fhir_server.errors import Conflict
from fhir_server.store.accounts.oauth import OAuthStore

APP = "hms-app"

# What a patient's app may do by itself over FHIR. What must hold together (slots, invoices, visits) the facade writes.
PATIENT_SCOPES = parse_scopes(
    "openid fhirUser offline_access patient/*.rs patient/Patient.u patient/RelatedPerson.cud patient/Appointment.cu "
    "patient/Communication.u patient/DocumentReference.c patient/Binary.c patient/CoverageEligibilityRequest.c"
)

STAFF_SCOPES = parse_scopes("openid fhirUser offline_access user/*.cruds")


async def register_app(store: OAuthStore[Access]) -> None:
    """Register the facade's own app, once."""
    if await store.clients.find(APP) is None:
        scopes = parse_scopes(f"{PATIENT_SCOPES} {STAFF_SCOPES}")
        try:
            await store.clients.add(Client(APP, "Patient app", "none", scopes))
        except Conflict:  # another worker was faster
            if await store.clients.find(APP) is None:
                raise
