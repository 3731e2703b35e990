"""Loading code systems into the database, and asking them at the FHIR base."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from fhir_server.cli.terminology import loader
from fhir_server.engine.context import Services
from fhir_server.engine.engine import handle
from fhir_server.http.fhir import FhirApp
from fhir_server.services import services_on
from fhir_server.settings import Settings
from fhir_server.store.database.mongo import Database
from fhir_server.vocabulary.loading import Loaded
from fhir_server.vocabulary.readers.files import SourceError
from fhir_server.vocabulary.readers.formats import Options
from terminology.operations.selection import expansion_entries
from tests.client import BASE
from tests.vocabulary.snomed_files import CARDITIS, FINDING, HEART, MIXED, RELEASE, SITE, Made, write

Json = dict[str, Any]
SCT = "http://snomed.info/sct"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A data directory of the test's own."""
    return Settings(data_dir=tmp_path / "data", search_core_definitions=False)


@pytest.fixture
def load(services: Services, tmp_path: Path) -> Callable[..., Any]:
    """Return what loads a CSV of codes."""

    async def loading(table: str, version: str = "1") -> Loaded:
        path = tmp_path / "table.csv"
        path.write_text(table)
        options = Options("urn:animals", version, "Animals")
        return await loader(services).load("csv", [path], options, lambda step, number: None)

    return loading


async def _codes(client: httpx.AsyncClient, query: str) -> list[str]:
    answer = await client.get(f"ValueSet/$expand?{query}")
    assert answer.status_code == 200, answer.text
    return [each["code"] for each in expansion_entries(answer.json()["expansion"])]


async def _posted(client: httpx.AsyncClient, **include: Any) -> httpx.Response:
    value_set = {"resourceType": "ValueSet", "status": "active", "compose": {"include": [include]}}
    parameters = {"resourceType": "Parameters", "parameter": [{"name": "valueSet", "resource": value_set}]}
    return await client.post("ValueSet/$expand", json=parameters)


async def test_a_loaded_system_answers_every_operation(
    client: httpx.AsyncClient, services: Services, tmp_path: Path
) -> None:
    """Lookup, validation, subsumption, expansion with filter and page, implicit value sets, and searches."""
    release = write(tmp_path / "release", RELEASE)
    loaded = await loader(services).load("snomed", [release], Options(), lambda step, number: None)
    assert loaded.concepts == len(RELEASE)
    resource = (await client.get(f"CodeSystem?url={SCT}")).json()["entry"][0]["resource"]
    assert (resource["content"], resource["count"], resource["version"]) == ("complete", len(RELEASE), loaded.version)
    looked_up = (await client.get(f"CodeSystem/$lookup?system={SCT}&code={CARDITIS}")).json()["parameter"]
    assert {"name": "display", "valueString": "Carditis"} in looked_up
    subsumed = (await client.get(f"CodeSystem/$subsumes?system={SCT}&codeA={FINDING}&codeB={MIXED}")).json()
    assert subsumed["parameter"][0]["valueCode"] == "subsumes"
    below = f"url={SCT}?fhir_vs=isa/{FINDING}"
    assert len(await _codes(client, below)) == 5
    assert await _codes(client, f"{below}&filter=scar&count=1&offset=1") == [MIXED]
    expression = f"%253C{FINDING}:{SITE}={HEART}"
    assert len(await _codes(client, f"url={SCT}?fhir_vs=ecl/{expression}")) == 3
    for code, result in ((MIXED, True), (HEART, False), ("1", False)):
        answer = (await client.get(f"ValueSet/$validate-code?{below}&system={SCT}&code={code}")).json()["parameter"]
        assert {"name": "result", "valueBoolean": result} in answer
    for number, code in enumerate((MIXED, HEART)):
        coding = {"coding": [{"system": SCT, "code": code}]}
        observation = {"resourceType": "Observation", "id": str(number), "status": "final", "code": coding}
        assert (await client.put(f"Observation/{number}", json=observation)).status_code == 201
    for query in (f"code:in={SCT}?fhir_vs=isa/{FINDING}", f"code:below={SCT}|{CARDITIS}"):
        assert [each["resource"]["id"] for each in (await client.get(f"Observation?{query}")).json()["entry"]] == ["0"]


async def test_versions_stand_side_by_side_and_one_is_replaced_at_once(
    client: httpx.AsyncClient, load: Any, services: Services, database: Database
) -> None:
    """The latest is meant unless one is named; the next request of any process has what was loaded."""
    second = FhirApp(handle, BASE, "/fhir")
    second.services = await services_on(database, services.settings)
    await load("code,display\nd,Dog\n")
    await load("code,display\nd,Hound\nc,Cat\n", "2")
    assert (await load("code,display\nd,Puppy\n", "1")).replaced
    transport = httpx.ASGITransport(app=second)
    async with httpx.AsyncClient(transport=transport, base_url=BASE + "/") as other:
        for requested in (client, other):
            for version, display in (("", "Hound"), ("&version=1", "Puppy"), ("&version=2", "Hound")):
                answer = await requested.get(f"CodeSystem/$lookup?system=urn:animals&code=d{version}")
                assert {"name": "display", "valueString": display} in answer.json()["parameter"]
        assert await loader(services).remove("urn:animals", "2") == ["2"]
        for requested in (client, other):
            assert (await requested.get("CodeSystem/$lookup?system=urn:animals&code=c")).status_code == 404
            assert (await requested.get("CodeSystem/$lookup?system=urn:animals&code=d")).status_code == 200
    assert await loader(services).remove("urn:animals", None) == ["1"]
    assert (await client.get("CodeSystem?url=urn:animals")).json()["total"] == 0
    assert await database.collection("vocabulary.files").count_documents({}) == 0


async def test_another_machine_fetches_the_file(
    load: Any, database: Database, tmp_path: Path, client: httpx.AsyncClient
) -> None:
    """It has no copy in its own folder, and makes one; a copy that is damaged on the way is not used."""
    await load("code,display\nd,Dog\n")
    elsewhere = Settings(data_dir=tmp_path / "elsewhere", search_core_definitions=False)
    app = FhirApp(handle, BASE, "/fhir")
    app.services = await services_on(database, elsewhere)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=BASE + "/") as other:
        assert (await other.get("CodeSystem/$lookup?system=urn:animals&code=d")).status_code == 200
    assert len(list((tmp_path / "elsewhere" / "terminology").iterdir())) == 1
    await database.collection("vocabulary.chunks").update_many({}, {"$set": {"data": b"damaged"}})
    app.services = await services_on(database, elsewhere.model_copy(update={"data_dir": tmp_path / "third"}))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=BASE + "/") as other:
        assert (await other.get("CodeSystem/$lookup?system=urn:animals&code=d")).status_code == 503


async def test_what_cannot_be_loaded_changes_nothing(client: httpx.AsyncClient, load: Any, services: Services) -> None:
    """The version that was there still answers, and nothing is left over."""
    await load("code,display\nd,Dog\n")
    with pytest.raises(SourceError):
        await load("code,display\nd,Hound\n,none\n")
    answer = await client.get("CodeSystem/$lookup?system=urn:animals&code=d")
    assert {"name": "display", "valueString": "Dog"} in answer.json()["parameter"]
    assert len(list((services.settings.data_dir / "terminology").iterdir())) == 1


async def test_a_loaded_system_can_only_be_read(client: httpx.AsyncClient, load: Any) -> None:
    """As what packages bring."""
    await load("code,display\nd,Dog\n")
    resource = (await client.get("CodeSystem?url=urn:animals")).json()["entry"][0]["resource"]
    assert (await client.put(f"CodeSystem/{resource['id']}", json=resource)).status_code == 405
    assert (await client.delete(f"CodeSystem/{resource['id']}")).status_code == 405


async def test_a_dear_question_ends(services: Services, tmp_path: Path, database: Database) -> None:
    """By the budget of the request, and the next one is answered."""
    attributes = [(SITE, f"{number}", number) for number in range(1, 5)]
    many = [Made(str(1000 + number), f"Concept {number}", ["1"], relations=attributes) for number in range(1500)]
    release = write(tmp_path / "release", [Made("1", "Root"), *many])
    await loader(services).load("snomed", [release], Options(), lambda step, number: None)
    small = services.settings.model_copy(update={"max_request_seconds": 0.05})
    app = FhirApp(handle, BASE, "/fhir")
    app.services = await services_on(database, small)
    dear = " AND ".join(f"(* : [0..9] {SITE} != (<< 1 : [{number}..9] {SITE} != 5))" for number in range(30))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=BASE + "/") as client:
        answer = await _posted(client, system=SCT, filter=[{"property": "constraint", "op": "=", "value": dear}])
        assert answer.status_code == 422, answer.text
        assert answer.json()["issue"][0]["code"] == "too-costly"
        assert (await client.get(f"CodeSystem/$lookup?system={SCT}&code=1")).status_code == 200


@pytest.mark.parametrize("value", ["<", "<< x", "1 {{ term = 'x' }}", "a" * 30_000])
async def test_an_expression_that_is_none_is_a_400(
    client: httpx.AsyncClient, services: Services, tmp_path: Path, value: str
) -> None:
    """With the place."""
    release = write(tmp_path / "release", RELEASE)
    await loader(services).load("snomed", [release], Options(), lambda step, number: None)
    answer = await _posted(client, system=SCT, filter=[{"property": "constraint", "op": "=", "value": value}])
    assert answer.status_code in (400, 422)
    assert answer.json()["issue"]
