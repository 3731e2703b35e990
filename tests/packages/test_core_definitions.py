"""R4's own definitions at the FHIR base: read by id, and found by searches."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from fhir_server.engine.context import Services
from fhir_server.packages.library import CORE_TYPES
from fhir_server.r4 import official
from fhir_server.search.query.conditions import HasKey
from fhir_server.services import services_on
from fhir_server.settings import Settings
from fhir_server.store.database.mongo import Database

Json = dict[str, Any]


@pytest.fixture
def settings() -> Settings:
    """The settings as they are unless told."""
    return Settings()


async def test_each_is_read_by_its_id_without_the_database(client: httpx.AsyncClient, database: Database) -> None:
    """Resources and data types, their profiles, value sets, and what else R4 publishes; whole, in parts, as XML."""
    for path in (
        "StructureDefinition/Patient",
        "StructureDefinition/vitalsigns",
        "ValueSet/administrative-gender",
        "CodeSystem/v3-ActCode",
        "SearchParameter/Patient-name",
        "OperationDefinition/Patient-everything",
        "CompartmentDefinition/patient",
        "CapabilityStatement/base",
        "ConceptMap/cm-address-use-v3",
    ):
        answer = await client.get(path)
        assert answer.status_code == 200, path
        assert answer.json()["id"] == path.partition("/")[2]
        assert answer.headers["last-modified"] == "Fri, 01 Nov 2019 00:00:00 GMT"
    assert "text" not in (await client.get("ValueSet/administrative-gender?_summary=data")).json()
    assert (await client.get("StructureDefinition/Patient?_format=xml")).text.startswith("<?xml")
    assert (await client.get("StructureDefinition/Patien")).status_code == 404
    for name in await database.collection_names():
        assert not name.endswith("_defined") or await database.collection(name).count_documents({}) == 0


@pytest.mark.parametrize("resource_type", sorted(CORE_TYPES - {"StructureDefinition", "SearchParameter", "ValueSet"}))
async def test_a_search_counts_all_that_r4_defines_and_what_is_stored(
    client: httpx.AsyncClient, resource_type: str
) -> None:
    """Put in at the first search, and once however many ask at the same time."""
    items = [client.get(f"{resource_type}?_summary=count") for _ in range(4)]
    totals = {answer.json()["total"] for answer in await asyncio.gather(*items)}
    assert totals == {len(list(official.official_urls(resource_type)))}


async def test_each_url_is_found(client: httpx.AsyncClient) -> None:
    """By `url`, with what else the type is searched by, and as `metadata` names them."""
    for url in ("StructureDefinition/Patient", "StructureDefinition/bp", "StructureDefinition/patient-birthPlace"):
        bundle = (await client.get(f"StructureDefinition?url=http://hl7.org/fhir/{url}&_elements=url")).json()
        assert bundle["total"] == 1
        assert bundle["entry"][0]["resource"]["url"] == f"http://hl7.org/fhir/{url}"
    derived = await client.get("StructureDefinition?type=Observation&derivation=constraint&_summary=count")
    assert derived.json()["total"] > 10


async def test_another_process_finds_them_there(client: httpx.AsyncClient, database: Database) -> None:
    """The second worker puts nothing in again, and the site's own are found with them."""
    await client.get("CompartmentDefinition")
    second = await services_on(database, Settings())
    before = await database.collection("CompartmentDefinition_defined").find({}).to_list()
    assert await second.definitions.searched(["CompartmentDefinition"]) == {"CompartmentDefinition"}
    assert await database.collection("CompartmentDefinition_defined").find({}).to_list() == before


async def test_a_new_release_puts_its_own_in_place_of_those_of_the_one_before(
    services: Services, database: Database
) -> None:
    """By the name of the edition."""
    library = services.definitions
    await library.load_core("CompartmentDefinition")
    await database.collection("CompartmentDefinition_defined").delete_one({"_id": "patient"})
    await library.packages.note_core("CompartmentDefinition", "another")
    later = await services_on(database, Settings())
    await later.definitions.load_core("CompartmentDefinition")
    assert await database.collection("CompartmentDefinition_defined").count_documents({}) == 6


async def test_a_caller_with_conditions_reads_what_these_admit(services: Services) -> None:
    """A scope may narrow a type by a search; the database then decides."""
    admitted = await services.definitions.read("CompartmentDefinition", "patient", HasKey(("code=Patient",)))
    assert admitted is not None
    assert await services.definitions.read("CompartmentDefinition", "patient", HasKey(("code=Device",))) is None
