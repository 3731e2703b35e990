"""`$validate` is no way to what the caller may not read; what one caller stores is no rule for the others."""

from __future__ import annotations

from typing import Any

from fhir_server.engine.context import Context, Request, Services
from fhir_server.engine.engine import handle
from fhir_server.r4 import values
from fhir_server.work.budget import Budget, working
from tests.attacks.callers import BASE, ask, patient_token, system_token

HL7 = "http://hl7.org/fhir/StructureDefinition/"
PROFILE = "http://profiles.test/secret"


def structure(url: str, **differential: Any) -> dict[str, Any]:
    differential = differential or {"id": "Patient.name", "path": "Patient.name"}
    return {
        "resourceType": "StructureDefinition",
        "id": "p",
        "url": url,
        "name": "P",
        "status": "active",
        "kind": "resource",
        "abstract": False,
        "type": "Patient",
        "baseDefinition": f"{HL7}Patient",
        "derivation": "constraint",
        "differential": {"element": [{"id": "Patient", "path": "Patient"}, differential]},
    }


async def stored(services: Services, definition: dict[str, Any]) -> None:
    """Store a definition as the operator, who alone may."""
    request = Request("PUT", "StructureDefinition/p", resource=definition)
    assert (await handle(Context(services, BASE), request)).status == 201


async def test_what_may_not_be_read_is_not_validated(services: Services) -> None:
    """Another patient's record looks like one that is not there, by its own URL and as the target of a reference."""
    secret = {"resourceType": "Patient", "id": "other", "birthDate": "1999-09-09"}
    assert (await ask(services, system_token(), "PUT", "Patient/other", secret)).status == 201
    mine = patient_token("mine")
    for url in ("Patient/other/$validate", f"Patient/other/$validate?mode=profile&profile={HL7}Patient"):
        stored = await ask(services, mine, "GET", url)
        missing = await ask(services, mine, "GET", url.replace("other", "nobody"))
        assert stored.status == missing.status == 404
        assert b"1999" not in (stored.json or b"")


async def test_a_definition_of_r4_cannot_be_replaced(services: Services) -> None:
    """What is stored under its URL does not decide what a Patient is; and a client may store no definition at all."""
    refused = await ask(services, system_token(), "PUT", "StructureDefinition/p", structure(PROFILE))
    assert refused.status == 403
    demanding = structure(f"{HL7}Patient", id="Patient.photo", path="Patient.photo", min=1)
    await stored(services, demanding)
    claiming = {"resourceType": "Patient", "meta": {"profile": [f"{HL7}Patient"]}}
    assert (await ask(services, system_token(), "POST", "Patient", claiming)).status == 201


async def test_an_endless_invariant_costs_the_budget_and_no_more(services: Services) -> None:
    """A profile whose rule multiplies ends in an OperationOutcome."""
    nested = "descendants().select(%resource.descendants()).select(%resource.descendants()).exists()"
    rule = {"key": "x-1", "severity": "error", "human": "x", "expression": nested}
    costly = structure(PROFILE, id="Patient.name", path="Patient.name", constraint=[rule])
    await stored(services, costly)
    names = [{"family": "f", "given": ["a", "b"]} for _ in range(60)]
    claiming = {"resourceType": "Patient", "meta": {"profile": [PROFILE]}, "name": names}
    with working(Budget(1.0)):
        answer = await ask(services, system_token(), "POST", "Patient", claiming)
    assert answer.status == 422
    assert values.decode(answer.json or b"{}")["issue"][0]["code"] == "too-costly"
