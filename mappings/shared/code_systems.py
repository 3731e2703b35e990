"""The hospital's own code systems, each with a value set of all its codes. https://hl7.org/fhir/R4/codesystem.html"""

from __future__ import annotations

from typing import Any, get_args

from fhir_server.own_urls import own_url
from mappings.accounts import users
from mappings.billing import payments
from mappings.booking import appointments
from mappings.insurance import insurance
from mappings.notifications import notifications
from mappings.visits import visit_tracking

CODES: dict[str, tuple[str, tuple[str, ...]]] = {
    "account-status": ("Status of an account", get_args(users.Status)),
    "appointment-status": ("Status of an appointment", get_args(appointments.Status)),
    "coverage-standing": ("Standing of a policy", get_args(insurance.PolicyState)),
    "document-type": ("Type of a document that LOINC does not name", ("other",)),
    "file-status": ("Status of a document's file", ("missing",)),
    "notification-kind": ("Kind of a notification", get_args(notifications.Kind)),
    "payment-method": ("Payment method", get_args(payments.Method)),
    "refund-status": ("Status of a refund", get_args(payments.RefundStatus)),
    "visit-status": ("Status of a visit", get_args(visit_tracking.Status)),
}


def resources() -> list[dict[str, Any]]:
    """Return the CodeSystems and ValueSets."""
    systems = [_code_system(name, title, codes) for name, (title, codes) in CODES.items()]
    return systems + [_value_set(name, title) for name, (title, _) in CODES.items()]


def _code_system(name: str, title: str, codes: tuple[str, ...]) -> dict[str, Any]:
    return {
        "resourceType": "CodeSystem",
        "id": name,
        "url": own_url("CodeSystem", name),
        "name": _computer_name(name),
        "title": title,
        "status": "active",
        "caseSensitive": True,
        "valueSet": own_url("ValueSet", name),
        "content": "complete",
        "count": len(codes),
        "concept": [{"code": code, "display": code.replace("_", " ").capitalize()} for code in codes],
    }


def _value_set(name: str, title: str) -> dict[str, Any]:
    return {
        "resourceType": "ValueSet",
        "id": name,
        "url": own_url("ValueSet", name),
        "name": _computer_name(name),
        "title": title,
        "status": "active",
        "compose": {"include": [{"system": own_url("CodeSystem", name)}]},
    }


def _computer_name(name: str) -> str:
    return "Hms" + "".join(part.capitalize() for part in name.split("-"))
