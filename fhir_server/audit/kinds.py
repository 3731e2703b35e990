"""What kinds of events there are, in the codes of FHIR and DICOM, and which one an access is.

https://hl7.org/fhir/R4/valueset-audit-event-type.html, https://hl7.org/fhir/R4/valueset-audit-event-sub-type.html
"""

from __future__ import annotations

from typing import NamedTuple

from fhir_server.audit.records import AccessRecord
from fhir_server.engine.routes import Route, route_of
from fhir_server.errors import FhirError

Code = tuple[str, str]
"""A system and a code."""

_REST = ("http://terminology.hl7.org/CodeSystem/audit-event-type", "rest")
_INTERACTIONS = "http://hl7.org/fhir/restful-interaction"
_DICOM = "http://dicom.nema.org/resources/ontology/DCM"
_IHE = "urn:ihe:event-type-code"
EVENTS = "urn:fhir-server:audit-event"
"""The names of events that nobody else has a code for; each of ours has one, beside the codes of others."""

_PATIENT_RECORD = (_DICOM, "110110")
_AUTHENTICATION = (_DICOM, "110114")
_SECURITY_ALERT = (_DICOM, "110113")
_EXPORT, _IMPORT = (_DICOM, "110106"), (_DICOM, "110107")
_LOGIN, _LOGOUT = (_DICOM, "110122"), (_DICOM, "110123")
_CONFIGURATION, _RIGHTS, _USER = (_DICOM, "110129"), (_DICOM, "110136"), (_DICOM, "110137")

NAMED: dict[str, tuple[Code, Code | None]] = {
    "hospital": (_PATIENT_RECORD, None),
    "patient-picker": (_PATIENT_RECORD, None),
    "encounter-picker": (_PATIENT_RECORD, None),
    "login": (_AUTHENTICATION, _LOGIN),
    "logout": (_AUTHENTICATION, _LOGOUT),
    "token": (_AUTHENTICATION, (_IHE, "ITI-71")),
    "introspection": (_AUTHENTICATION, (_IHE, "ITI-102")),
    "userinfo": (_AUTHENTICATION, None),
    "consent": (_SECURITY_ALERT, _RIGHTS),
    "revocation": (_SECURITY_ALERT, _RIGHTS),
    "launch": (_SECURITY_ALERT, _RIGHTS),
    "user-added": (_SECURITY_ALERT, _USER),
    "user-changed": (_SECURITY_ALERT, _USER),
    "user-disabled": (_SECURITY_ALERT, _USER),
    "second-factor-set": (_SECURITY_ALERT, _USER),
    "second-factor-removed": (_SECURITY_ALERT, _USER),
    "password-changed": (_SECURITY_ALERT, _USER),
    "password-forgotten": (_SECURITY_ALERT, _USER),
    "client-registration": (_SECURITY_ALERT, _CONFIGURATION),
    "client-removed": (_SECURITY_ALERT, _CONFIGURATION),
    "provider-added": (_SECURITY_ALERT, _CONFIGURATION),
    "provider-removed": (_SECURITY_ALERT, _CONFIGURATION),
    "key-rotated": (_SECURITY_ALERT, _CONFIGURATION),
    "encryption-key-rotated": (_SECURITY_ALERT, _CONFIGURATION),
    "encryption-key-rewrapped": (_SECURITY_ALERT, _CONFIGURATION),
    "purged": (_PATIENT_RECORD, None),
    "notification": (_EXPORT, None),
    "backup": (_EXPORT, None),
    "restored": (_IMPORT, None),
    "validated": (_EXPORT, None),
    "package-installed": (_SECURITY_ALERT, _CONFIGURATION),
    "package-uninstalled": (_SECURITY_ALERT, _CONFIGURATION),
    "package-search-parameters": (_SECURITY_ALERT, _CONFIGURATION),
    "terminology-loaded": (_SECURITY_ALERT, _CONFIGURATION),
    "terminology-removed": (_SECURITY_ALERT, _CONFIGURATION),
}
"""The type of each event that is no FHIR request, and the closest subtype that is standard."""

_ACTIONS = {"GET": "R", "HEAD": "R", "POST": "C", "PUT": "U", "PATCH": "U", "DELETE": "D"}
_CODES = {
    "conditional-update": "update",
    "conditional-patch": "patch",
    "conditional-delete": "delete",
    "async-status": "operation",
    "async-file": "operation",
    "async-cancel": "operation",
}
_CREATED = 201


class Kind(NamedTuple):
    """What happened and how it ended: all of an event that many share, whoever acted."""

    type: Code
    subtypes: tuple[Code, ...]
    action: str
    status: int
    reason: str = ""


def kind(record: AccessRecord) -> Kind:
    """Return what kind of event an access is."""
    if record.event:
        type_, subtype = NAMED[record.event]
        own = (EVENTS, record.event)
        action = _ACTIONS.get(record.method, "E") if type_ is _PATIENT_RECORD else "E"
        return Kind(type_, (subtype, own) if subtype else (own,), action, record.status, record.reason)
    routed = _routed(record.method, record.path)
    return Kind(_REST, ((_INTERACTIONS, _code(record, routed)),), _action(record, routed), record.status)


def _routed(method: str, path: str) -> Route | None:
    try:
        return route_of(method, path)
    except FhirError:
        return None


def _code(record: AccessRecord, route: Route | None) -> str:
    if route is None:
        return "operation"
    if route.interaction == "batch" and record.entries and record.status < 300:
        return "transaction" if record.location == "transaction" else "batch"
    return _CODES.get(route.interaction, route.interaction)


def _action(record: AccessRecord, route: Route | None) -> str:
    if route is not None and (route.interaction in ("batch", "operation") or route.interaction.startswith("search")):
        return "E"
    return "C" if record.status == _CREATED else _ACTIONS.get(record.method, "E")
