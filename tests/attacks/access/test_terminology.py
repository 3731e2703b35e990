"""Terminology operations show stored content by the one access rule, and a client's tables to that client alone."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.smart_server import SmartServer

WIDE = "system/*.cruds system/CodeSystem.cruds system/ValueSet.cruds system/ConceptMap.cruds"
SYSTEM = "http://example.org/secret-codes"
CODES = {
    "resourceType": "CodeSystem",
    "id": "codes",
    "url": SYSTEM,
    "status": "active",
    "content": "complete",
    "concept": [{"code": "a", "display": "zebra"}],
}
SET = {
    "resourceType": "ValueSet",
    "id": "set",
    "url": "http://example.org/secret-set",
    "status": "active",
    "compose": {"include": [{"system": SYSTEM}]},
}
TARGET = {"code": "zebra", "equivalence": "equal"}
MAP = {
    "resourceType": "ConceptMap",
    "id": "map",
    "url": "http://example.org/secret-map",
    "status": "active",
    "group": [{"source": SYSTEM, "target": "urn:x", "element": [{"code": "a", "target": [TARGET]}]}],
}
QUESTIONS = [
    "ValueSet/$expand?url=http://example.org/secret-set",
    "ValueSet/set/$expand",
    f"ValueSet/$validate-code?url=http://example.org/secret-set&system={SYSTEM}&code=a",
    f"CodeSystem/$lookup?system={SYSTEM}&code=a",
    f"CodeSystem/$validate-code?url={SYSTEM}&code=a",
    f"CodeSystem/$subsumes?system={SYSTEM}&codeA=a&codeB=a",
    f"ConceptMap/$translate?url=http://example.org/secret-map&system={SYSTEM}&code=a",
]


async def stored(smart: SmartServer) -> None:
    client = smart.fhir(await smart.system_token(WIDE))
    for resource in (CODES, SET, MAP):
        assert (await client.put(f"{resource['resourceType']}/{resource['id']}", json=resource)).status_code == 201
    for question in QUESTIONS:
        assert (await client.get(question)).status_code == 200, question


@pytest.mark.parametrize("scope", ["system/Patient.rs", "system/*.cud", "system/Observation.cruds ehr_launch"])
async def test_stored_content_needs_a_scope_that_reads_it(smart: SmartServer, scope: str) -> None:
    """What the token may not read does not exist, also where a resource that comes with the request names it."""
    await stored(smart)
    client = smart.fhir(await smart.system_token(scope))
    for question in QUESTIONS:
        answer = await client.get(question)
        assert "zebra" not in answer.text
        assert '"valueBoolean":true' not in answer.text
        absent = await client.get(question.replace("secret", "absent").replace("/set/", "/none/"))
        assert absent.status_code == answer.status_code
        assert absent.text.replace("absent", "secret") == answer.text
    brought: dict[str, Any] = {"resourceType": "Parameters", "parameter": [{"name": "valueSet", "resource": SET}]}
    answer = await client.post("ValueSet/$expand", json=brought)
    assert answer.status_code == 404
    assert "zebra" not in answer.text


async def test_nobody_asks_without_a_token(smart: SmartServer) -> None:
    """Each question is refused, be it about the server's own content."""
    await stored(smart)
    for question in [*QUESTIONS, "CodeSystem/$lookup?system=http://unitsofmeasure.org&code=g", "$versions"]:
        assert (await smart.fhir().get(question)).status_code == 401, question


def _closure(*concepts: str, name: str = "table") -> dict[str, Any]:
    added = [{"name": "concept", "valueCoding": {"system": SYSTEM, "code": code}} for code in concepts]
    return {"resourceType": "Parameters", "parameter": [{"name": "name", "valueString": name}, *added]}


async def test_a_closure_table_is_its_client_s_and_user_s(smart: SmartServer) -> None:
    """Under the same name another has a table of its own, and sees nothing of the first."""
    await stored(smart)
    owner, other = [smart.fhir(await smart.system_token(WIDE)) for _ in range(2)]
    assert (await owner.post("$closure", json=_closure())).status_code == 200
    assert (await owner.post("$closure", json=_closure("a"))).status_code == 200
    requested = _closure()
    requested["parameter"].append({"name": "version", "valueString": "0"})
    for body in (requested, _closure("a")):
        assert (await other.post("$closure", json=body)).status_code == 404
    assert (await other.post("$closure", json=_closure())).status_code == 200
    assert (await owner.post("$closure", json=requested)).json()["version"] == "1"


async def test_questions_are_in_the_trail(smart: SmartServer) -> None:
    """Who asked what is recorded, refused questions included."""
    await stored(smart)
    client = smart.fhir(await smart.system_token("system/Patient.rs"))
    auditor = smart.fhir(await smart.system_token("system/AuditEvent.rs"))
    await client.get(QUESTIONS[0])
    async with asyncio.timeout(60):
        while (await _operations(auditor)) < len(QUESTIONS) + 1:  # noqa: ASYNC110 - asked as an auditor asks
            await asyncio.sleep(0.1)


async def _operations(auditor: httpx.AsyncClient) -> int:
    answer = (await auditor.get("AuditEvent?subtype=operation&_summary=count")).json()
    return int(answer["total"])
