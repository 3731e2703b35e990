"""Two patients, A and B, each with resources of every type of a patient's compartment, by every way into it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from fhir_server.engine import versions, writes
from fhir_server.engine.context import Context, Services
from fhir_server.r4 import definitions
from fhir_server.r4.definitions import compartment
from fhir_server.search.registry import parameters

SECRET = "zebra"
"""Stands in everything of B's, and in nothing of A's."""


def _paths(resource_type: str, parameter: str) -> Iterator[str]:
    """Yield the simple element paths of a reference parameter on a type."""
    for branch in parameters(resource_type)[parameter].expression.split(" | "):
        result = re.match(rf"\(?{resource_type}\.([A-Za-z.]+)", branch.strip())
        if result:
            path = result[1]
            for function in (".where", ".as", ".first"):
                path = path.partition(function)[0]
            yield path


def _built(resource_type: str, path: str, reference: dict[str, str]) -> dict[str, Any]:
    """Return a resource whose element at the path is the reference, arrays where the type has them."""
    names, table = path.split("."), definitions.table(resource_type)
    root: dict[str, Any] = {"resourceType": resource_type}
    here = root
    for position, name in enumerate(names):
        element = table.elements.get(name) or table.elements[f"{name}Reference"]
        last = position == len(names) - 1
        value: Any = reference if last else {}
        here[element.name] = [value] if element.many else value
        if not last:
            here, table = value, definitions.table(element.type)
    return root


def resources_of(patient: str) -> Iterator[dict[str, Any]]:
    """Yield the resources of a patient, each with an id that names the patient."""
    secret = f"{SECRET}-" if patient == "b" else ""
    yield {
        "resourceType": "Patient",
        "id": patient,
        "name": [{"family": f"{secret}family"}],
        "birthDate": "1990-01-01" if patient == "a" else "1980-12-31",
        "identifier": [{"system": "urn:mrn", "value": f"{secret}1"}],
        "generalPractitioner": [{"reference": "Practitioner/shared"}],
    }
    for resource_type, names in sorted(compartment("Patient").items()):
        if resource_type == "Patient":
            continue
        for name in names:
            for number, path in enumerate(_paths(resource_type, name)):
                made = _built(resource_type, path, {"reference": f"Patient/{patient}"})
                made["id"] = f"{patient}-{resource_type.lower()}-{name}-{number}"
                made["language"] = "en"
                made["meta"] = {"tag": [{"system": "urn:tag", "code": f"{secret}tag"}]}
                if resource_type == "Observation":
                    made |= {"code": {"coding": [{"system": "urn:c", "code": "weight"}]}, "status": "final"}
                    made["valueQuantity"] = {"value": 70 if patient == "a" else 95, "unit": "kg"}
                yield made
    yield {
        "resourceType": "Binary",
        "id": f"{patient}-binary",
        "contentType": "text/plain",
        "securityContext": {"reference": f"Patient/{patient}"},
        "data": "emVicmE=" if patient == "b" else "aG9yc2U=",
    }
    yield {"resourceType": "Device", "id": f"{patient}-device", "patient": {"reference": f"Patient/{patient}"}}


SHARED: tuple[dict[str, Any], ...] = (
    {"resourceType": "Practitioner", "id": "shared", "name": [{"family": "Doctor"}]},
    {"resourceType": "Organization", "id": "shared", "name": "Clinic"},
    {"resourceType": "Device", "id": "nobodys", "status": "active"},
)

MIXED: tuple[dict[str, Any], ...] = (
    # What belongs to B, but knows A: by the compartment's definition or by common sense it is not A's.
    {
        "resourceType": "Group",
        "id": f"{SECRET}-group",
        "member": [{"entity": {"reference": f"Patient/{p}"}} for p in "ab"],
    },
    {
        "resourceType": "Observation",
        "id": f"{SECRET}-focus",
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": "Patient/b"},
        "focus": [{"reference": "Patient/a"}],
    },
    {
        "resourceType": "Patient",
        "id": f"{SECRET}-link",
        "link": [{"other": {"reference": "Patient/a"}, "type": "seealso"}],
    },
    {
        "resourceType": "List",
        "id": f"{SECRET}-list",
        "subject": {"reference": "Patient/b"},
        "source": {"reference": "Patient/a"},
        "entry": [{"item": {"reference": "Observation/a-observation-subject-0"}}],
    },
    {"resourceType": "AuditEvent", "id": f"{SECRET}-audit", "agent": [{"who": {"reference": "Patient/a"}}]},
    {"resourceType": "Task", "id": f"{SECRET}-task", "for": {"reference": "Patient/b"}},
    {"resourceType": "Schedule", "id": f"{SECRET}-schedule", "actor": [{"reference": "Patient/b"}]},
    {"resourceType": "Binary", "id": f"{SECRET}-binary", "contentType": "text/plain", "data": "emVicmE="},
)

POINTING: tuple[dict[str, Any], ...] = (
    # What is A's and refers to B's: the reference is A's to see, what it leads to is not.
    {
        "resourceType": "Coverage",
        "id": "a-coverage",
        "status": "active",
        "beneficiary": {"reference": "Patient/a"},
        "subscriber": {"reference": "Patient/b"},
    },
    {
        "resourceType": "Observation",
        "id": "a-pointing",
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": "Patient/a"},
        "hasMember": [{"reference": "Observation/b-observation-subject-0"}],
    },
)


async def fill(services: Services, base_url: str, *, with_b: bool) -> None:
    """Store A's resources and the shared ones, twice each, so that there is history; B's too, where wanted."""
    expected = [*resources_of("a"), *SHARED, *POINTING]
    if with_b:
        expected += [*resources_of("b"), *MIXED]
    context = Context(services, base_url)
    for resource in expected:
        first = versions.draft(context, resource, resource["id"], "PUT", None)
        await writes.insert(context, first)
        again = {**resource, "implicitRules": "urn:rules"}

        def plan(previous: Any, again: dict[str, Any] = again) -> writes.Write:
            made = versions.draft(context, again, again["id"], "PUT", previous)
            return writes.Write(made, previous, versions.answer(200, made))

        await writes.replace(context, resource["resourceType"], resource["id"], plan)
