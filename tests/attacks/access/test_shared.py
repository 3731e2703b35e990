"""Shared means known to be shared: what may name a patient, by whatever spelling, is shown to no other patient."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.r4 import values
from tests.attacks.callers import BASE, ask, patient_token, resource_of
from tests.facade_server import Hospital

MRN = {"system": "urn:hospital", "value": "B-1"}
PERIOD = {"start": "2030-01-01"}
SOMEBODYS: list[Any] = [
    {"reference": "Patient/bea"},
    {"reference": "Patient/bea/_history/1"},
    {"reference": f"{BASE}/Patient/bea"},
    {"reference": "http://elsewhere.test/fhir/Patient/bea"},
    {"reference": "urn:uuid:5ab5d5d2-cf6c-4ed0-91d6-32e5d3b2b2f1"},
    {"reference": "#bea"},
    {"identifier": MRN},
    {"identifier": MRN, "type": "Patient"},
    {"type": "Patient", "display": "Bea"},
    {"display": "Bea"},
    {"extension": [{"url": "urn:who", "valueReference": {"reference": "Patient/bea"}}]},
    {"extension": [{"url": "urn:who", "valueString": "Bea"}]},
]
"""References that lead to a patient, or that nobody can tell do not."""
BEA = {"resourceType": "Patient", "id": "bea", "identifier": [MRN]}


def holding(resource: dict[str, Any], reference: dict[str, Any]) -> dict[str, Any]:
    """Return the resource with what the reference leads to inside, where it leads there."""
    return {**resource, "contained": [BEA]} if reference.get("reference") == "#bea" else resource


def private() -> list[dict[str, Any]]:
    """Return devices and schedules that may be Bea's."""
    collected: list[dict[str, Any]] = []
    for reference in SOMEBODYS:
        collected.append(holding({"resourceType": "Device", "patient": reference}, reference))
        collected.append(holding({"resourceType": "Schedule", "actor": [reference]}, reference))
        mixed = [{"reference": "Practitioner/p"}, reference]
        collected.append(holding({"resourceType": "Schedule", "actor": mixed}, reference))
    inside = {"url": "urn:who", "valueReference": {"reference": "Patient/bea"}}
    collected.append({"resourceType": "Device", "extension": [inside]})
    collected.append(
        {"resourceType": "Device", "note": [{"text": "x", "authorReference": {"reference": "Patient/bea"}}]}
    )
    collected.append({"resourceType": "Schedule", "actor": [{"reference": "RelatedPerson/of-bea"}]})
    collected.append({"resourceType": "Schedule", "actor": [{"reference": "Practitioner/p"}],
                  "planningHorizon": {**PERIOD, "extension": [inside]}})  # fmt: skip
    return collected


SHARED = [
    {"resourceType": "Device"},
    {"resourceType": "Device", "owner": {"reference": "Organization/o"}, "location": {"display": "Ward 3"}},
    {"resourceType": "Device", "parent": {"reference": "Device/other"}},
    {"resourceType": "Schedule", "actor": [{"reference": "Practitioner/p"}, {"reference": f"{BASE}/Location/l"}]},
    {"resourceType": "Schedule", "actor": [{"identifier": MRN, "type": "Practitioner"}]},
]


async def test_what_may_be_a_patients_is_shown_to_no_other_patient(hospital: Hospital) -> None:
    """By read, search, counts, history, includes, compartments and GraphQL."""
    eve = patient_token("eve", "patient/*.rs")
    hidden = private()
    for number, resource in enumerate(hidden):
        # Stored by those who hold all rights, under whatever the specification lets stand there.
        await hospital.put({**resource, "id": f"h-{number}"})
    for number, resource in enumerate(hidden):
        url = f"{resource['resourceType']}/h-{number}"
        for path in (url, f"{url}/_history/1", f"{url}/_history"):
            assert (await ask(hospital.services, eve, "GET", path)).status == 404, resource
    for kind in ("Device", "Schedule"):
        for query in ("_summary=count", "_total=accurate", "_total=estimate", "_contained=both&_total=accurate"):
            assert resource_of(await ask(hospital.services, eve, "GET", f"{kind}?{query}"))["total"] == 0, (kind, query)
        history = resource_of(await ask(hospital.services, eve, "GET", f"{kind}/_history"))
        assert not history.get("entry")
    assert b"Bea" not in values.encode(resource_of(await ask(hospital.services, eve, "GET", "?_type=Device,Schedule")))


async def test_what_is_nobodys_is_shown_to_patients(hospital: Hospital) -> None:
    """A device or schedule that names nobody, or those known to be no patients, may be read by every patient."""
    eve = patient_token("eve", "patient/*.rs")
    for number, resource in enumerate(SHARED):
        await hospital.put({**resource, "id": f"s-{number}"})
        answer = await ask(hospital.services, eve, "GET", f"{resource['resourceType']}/s-{number}")
        assert answer.status == 200, resource


@pytest.mark.parametrize("kind", ["Device", "Schedule"])
async def test_the_patients_own_is_still_the_patients(hospital: Hospital, kind: str) -> None:
    """Who is named by id sees what names them."""
    named = {"patient": {"reference": "Patient/bea"}} if kind == "Device" else {"actor": [{"reference": "Patient/bea"}]}
    await hospital.put({"resourceType": kind, "id": "own", **named})
    assert (await ask(hospital.services, patient_token("bea"), "GET", f"{kind}/own")).status == 200
    assert (await ask(hospital.services, patient_token("eve"), "GET", f"{kind}/own")).status == 404
