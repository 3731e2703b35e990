"""The hospital's profiles and extensions under /fhir."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from fhir_server import own_urls
from fhir_server.engine.context import Context, Services
from fhir_server.errors import Unavailable
from fhir_server.hospital.profiles.job import definitions, publish, resources
from fhir_server.jobs.runner import hold
from fhir_server.store.work.jobs import JobStore
from mappings.shared import profiles

BASE = "http://server.test/fhir"


async def run(services: Services) -> dict[str, object]:
    """Run the job once, due or not, and return what it has kept."""
    lease = await JobStore(services.database).acquire("definitions", "worker", early=True)
    assert lease is not None
    await hold(definitions(services, BASE), lease)
    return lease.state


def _without(resource: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in resource.items() if name not in names}


async def test_a_partner_reads_what_is_meant(client: httpx.AsyncClient, services: Services) -> None:
    """Every extension and profile is found by its canonical URL, with its value sets and code systems."""
    assert (await run(services))["written"] == len(resources())
    for resource in profiles.resources():
        answer = (await client.get(resource["resourceType"], params={"url": resource["url"]})).json()
        assert answer["total"] == 1, resource["url"]
        stored = answer["entry"][0]["resource"]
        assert stored["id"] in (resource["id"], f"hospital-{resource['id']}")  # the second where R4 has the first
        assert _without(stored, "meta", "id") == _without(resource, "id")


async def test_the_same_definitions_are_not_written_again(client: httpx.AsyncClient, services: Services) -> None:
    """A second start makes no version, and does not bring back what an operator has removed."""
    await run(services)
    await client.delete("StructureDefinition/fee")
    await run(services)
    assert (await client.get("StructureDefinition/fee")).status_code == 410
    assert (await client.get("StructureDefinition/hms-patient")).json()["meta"]["versionId"] == "1"


async def test_what_has_the_id_already_stays(client: httpx.AsyncClient, services: Services) -> None:
    """A definition of somebody else's under the same id is not overwritten: the hospital's takes a longer one."""
    fee = next(resource for resource in profiles.resources() if resource["id"] == "fee")
    other = fee | {"url": "https://elsewhere.example/other"}
    path = f"{other['resourceType']}/{other['id']}"
    assert (await client.put(path, json=other)).status_code == 201
    brought = profiles.resources()
    assert await publish(Context(services, BASE), brought) == len(brought)
    assert (await client.get(path)).json()["url"] == other["url"]
    assert (await client.get("StructureDefinition/hospital-fee")).json()["url"] == fee["url"]


async def test_what_could_not_be_written_is_tried_again(
    client: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that the database breaks off is not taken for done: the next one writes the rest."""
    whole = services.resources.insert

    async def failing(*_: object, **__: object) -> None:
        raise Unavailable("The database is away.")

    monkeypatch.setattr(services.resources, "insert", failing)
    with pytest.raises(Unavailable):
        await run(services)
    monkeypatch.setattr(services.resources, "insert", whole)
    assert (await run(services))["written"] == len(resources())


@pytest.mark.parametrize("publish_definitions", [True, False])
async def test_an_operator_may_do_without(services: Services, publish_definitions: bool) -> None:
    """The setting decides whether the job is attended to."""
    from fhir_server.hospital.billing.card.sandbox import SandboxGateway
    from fhir_server.server.background import jobs

    services.settings.publish_definitions = publish_definitions
    names = {job.name for job in jobs(services, BASE, SandboxGateway())}
    assert ("definitions" in names) is publish_definitions


async def test_definitions_follow_the_base(client: httpx.AsyncClient, services: Services) -> None:
    """After a change of the canonical base each definition is the next version under its id, with the new URL."""
    await run(services)
    with own_urls.using_base("https://hospital.example"):
        assert (await run(services))["written"] == len(resources())
        fee = (await client.get("StructureDefinition/fee")).json()
        assert (fee["url"], fee["meta"]["versionId"]) == ("https://hospital.example/fhir/StructureDefinition/fee", "2")
        purge = (await client.get("OperationDefinition/purge")).json()
        assert purge["url"] == "https://hospital.example/fhir/OperationDefinition/purge"
        assert own_urls.DEFAULT_BASE not in str(resources())
