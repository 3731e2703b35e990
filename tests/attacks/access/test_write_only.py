"""Who may change a resource and not read it learns nothing of it from the answer to the change."""

from __future__ import annotations

from typing import Any

import pytest

from tests.attacks.callers import ask, resource_of, system_token
from tests.facade_server import Hospital

SECRET = "what only readers see"
STORED = {
    "resourceType": "Observation",
    "id": "kept",
    "status": "final",
    "code": {"text": SECRET},
    "meta": {"tag": [{"code": "hidden"}]},
    "category": [{"coding": [{"system": "urn:c", "code": "vital"}]}],
}
PATCH: list[dict[str, Any]] = [{"op": "add", "path": "/note", "value": [{"text": "n"}]}]
FHIRPATH_PATCH = {
    "resourceType": "Parameters",
    "parameter": [
        {
            "name": "operation",
            "part": [
                {"name": "type", "valueCode": "replace"},
                {"name": "path", "valueString": "Observation.status"},
                {"name": "value", "valueCode": "amended"},
            ],
        }
    ],
}
META = {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"tag": [{"code": "x"}]}}]}


def _bundle(kind: str) -> dict[str, Any]:
    fhirpath = {"resource": FHIRPATH_PATCH, "request": {"method": "PATCH", "url": "Observation/kept"}}
    return {"resourceType": "Bundle", "type": kind, "entry": [fhirpath]}


@pytest.mark.parametrize("scopes", ["system/Observation.u", "system/Observation.u system/Observation.r?category=lab"])
async def test_a_change_of_parts_does_not_show_the_whole(hospital: Hospital, scopes: str) -> None:
    """Neither a patch, one that changes nothing, $meta-add, nor a bundle with a patch answers with the resource."""
    await hospital.put(STORED)
    items: list[tuple[str, str, Any]] = [
        ("PATCH", "Observation/kept", PATCH),
        ("PATCH", "Observation/kept", PATCH),
        ("PATCH", "Observation/kept", FHIRPATH_PATCH),
        ("POST", "Observation/kept/$meta-add", META),
        ("POST", "Observation/kept/$meta-delete", META),
        ("POST", "", _bundle("batch")),
        ("POST", "", _bundle("transaction")),
    ]
    for method, url, body in items:
        answer = await ask(hospital.services, system_token(scopes), method, url, body)
        assert answer.status in (200, 204), answer
        assert SECRET.encode() not in (answer.json or b""), (method, url)
        assert b"hidden" not in (answer.json or b""), (method, url)
    assert (await hospital.fhir("GET", "Observation/kept"))["status"] == "amended"


async def test_who_may_read_is_shown_the_result(hospital: Hospital) -> None:
    """With a scope that reads it the patched resource is answered as ever."""
    await hospital.put(STORED)
    token = system_token("system/Observation.ru")
    answer = await ask(hospital.services, token, "PATCH", "Observation/kept", PATCH)
    assert resource_of(answer)["code"] == {"text": SECRET}
