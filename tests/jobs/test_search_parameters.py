"""A search parameter that somebody posts is checked, indexed in the background, and used when its index is complete."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import httpx
import pytest

from fhir_server.engine.context import Services
from fhir_server.jobs import search_parameters as job
from fhir_server.jobs.search_parameters import Course
from fhir_server.store.search import parameters as store
from fhir_server.store.search.parameters import Progress
from tests.client import BASE
from tests.jobs.conftest import BLUE, eyes

STRICT = {"Prefer": "handling=strict"}
PATIENT = {"resourceType": "Patient"} | BLUE


async def to_the_end(services: Services, course: Course | None = None) -> Course:
    """Take steps until there is nothing to do."""
    course = course or Course(services, BASE)
    idle = 0
    while idle < 3:
        stepped = await course.step()
        await services.following.look()
        idle = 0 if stepped else idle + 1
    return course


async def found(client: httpx.AsyncClient, query: str = "Patient?eyes=blue&_count=1000") -> set[str] | int:
    """Return the ids that a strict search finds, or the status of its refusal."""
    answer = await client.get(query, headers=STRICT)
    if answer.status_code != 200:
        return answer.status_code
    return {entry["resource"]["id"] for entry in answer.json().get("entry", [])}


async def stated(client: httpx.AsyncClient, resource_type: str = "Patient") -> set[str]:
    """Return the search parameters of the type that the CapabilityStatement has."""
    rest = (await client.get("metadata")).json()["rest"][0]
    resource = next(each for each in rest["resource"] if each["type"] == resource_type)
    return {each["name"] for each in resource["searchParam"]}


async def stored(client: httpx.AsyncClient, resource: dict[str, Any] = PATIENT) -> str:
    answer = await client.post(resource["resourceType"], json=resource)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def test_it_is_used_when_everything_is_indexed_and_not_before(
    client: httpx.AsyncClient, following: Services
) -> None:
    """Until then a search refuses it and /metadata lacks it; then both know it, and no resource is missing."""
    ids = {await stored(client) for _ in range(3)}
    await stored(client, {"resourceType": "Patient"})
    await stored(client, eyes())
    course = Course(following, BASE)
    assert await course.step() is False
    ids.add(await stored(client))
    assert (await found(client), "eyes" in await stated(client)) == (400, False)
    await to_the_end(following, course)
    ids.add(await stored(client))
    assert (await found(client), "eyes" in await stated(client)) == (ids, True)
    assert await found(client, "Patient?eyes:missing=true") != ids


async def test_every_type_below_its_base_is_indexed(client: httpx.AsyncClient, following: Services) -> None:
    """A parameter of DomainResource is one of each type."""
    ids = {name: await stored(client, {"resourceType": name, "language": "de"}) for name in ("Patient", "Basic")[:1]}
    await stored(client, eyes(code="tongue", base=["DomainResource"], expression="language"))
    await to_the_end(following)
    assert await found(client, "Patient?tongue=de") == {ids["Patient"]}
    assert "tongue" in await stated(client, "Observation")


async def test_what_is_retired_or_deleted_is_used_no_longer(client: httpx.AsyncClient, following: Services) -> None:
    """Status retired, or the resource's deletion, takes it out of searches and /metadata; active puts it back."""
    await stored(client)
    url = f"SearchParameter/{await stored(client, eyes())}"
    await to_the_end(following)
    assert isinstance(await found(client), set)
    resource = (await client.get(url)).json()
    assert (await client.put(url, json=resource | {"status": "retired"})).status_code == 200
    await to_the_end(following)
    assert (await found(client), "eyes" in await stated(client)) == (400, False)
    late = await stored(client)
    assert (await client.put(url, json=resource)).status_code == 200
    await to_the_end(following)
    assert late in (await found(client))  # type: ignore[operator]
    assert (await client.delete(url)).status_code == 204
    await to_the_end(following)
    assert await found(client) == 400
    assert (await following.following.store.state()).entries == ()


async def test_a_changed_expression_is_indexed_before_it_is_used(
    client: httpx.AsyncClient, following: Services
) -> None:
    """In between the parameter is unknown: neither the old meaning nor half of the new one is ever searched."""
    old, new = await stored(client), await stored(client, {"resourceType": "Patient", "language": "blue"})
    url = f"SearchParameter/{await stored(client, eyes())}"
    course = await to_the_end(following)
    assert await found(client) == {old}
    changed = (await client.get(url)).json() | {"expression": "Patient.language"}
    assert (await client.put(url, json=changed)).status_code == 200
    seen = []
    for _ in range(12):
        await course.step()
        await following.following.look()
        seen.append(await found(client))
    assert [each for each in seen if each not in ({old}, 400, {new})] == []
    assert 400 in seen
    assert seen[-1] == {new}


async def test_it_waits_for_every_worker(
    client: httpx.AsyncClient, following: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that does not know of it yet holds its indexing up, unless it has been silent for too long."""
    await stored(client)
    await following.following.store.announce("another", Progress(0, 0), {})
    await stored(client, eyes())
    await to_the_end(following)
    state = await following.following.store.state()
    assert ([entry.phase for entry in state.entries], state.running) == (["writing"], None)
    monkeypatch.setattr(store, "SILENT_SECONDS", 0.3)
    await asyncio.sleep(0.4)
    await following.following._announce()
    await to_the_end(following)
    assert isinstance(await found(client), set)


async def test_a_write_that_began_before_is_waited_for(client: httpx.AsyncClient, following: Services) -> None:
    """What indexes by the older set is stored before the pass begins, which then comes past it."""
    await stored(client, eyes())
    with following.following.working():
        await to_the_end(following)
        assert (await following.following.store.state()).running is None
        assert await found(client) == 400
    await to_the_end(following)
    assert await found(client) == set()


async def test_an_indexing_that_was_broken_off_goes_on(
    client: httpx.AsyncClient, following: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another worker goes on behind the last batch, and each resource is indexed once."""
    monkeypatch.setattr(job, "BATCH", 2)
    ids = {await stored(client) for _ in range(7)}
    await stored(client, eyes())
    killed = Course(following, BASE)
    while (state := await following.following.store.state()).running is None or state.running.done < 4:
        await killed.step()
        await following.following.look()
    heir, counts = Course(following, BASE), []
    while (state := await following.following.store.state()).running is not None:
        counts.append((state.running.done, state.running.total))
        await heir.step()
    assert counts == [(4, 7), (6, 7), (7, 7), (7, 7)]
    await following.following.look()
    assert await found(client) == ids


async def test_an_indexing_that_fails_is_no_success(
    client: httpx.AsyncClient, following: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no resource could be indexed the parameter stays unused, and the state says of how many."""
    await stored(client)
    await stored(client, eyes())
    course = Course(following, BASE)

    def failing(*_: Any, **__: Any) -> dict[str, Any]:
        raise ZeroDivisionError

    monkeypatch.setattr(course, "_index", failing)
    await to_the_end(following, course)
    state = await following.following.store.state()
    assert state.failure == "Of 1 resources 0 were indexed, and 1 could not be."
    assert [entry.phase for entry in state.entries] == ["writing"]
    assert await found(client) == 400
    await to_the_end(following)
    assert isinstance(await found(client), set)


@pytest.mark.parametrize(
    ("same", "differing"),
    [
        ({}, {"code": "eyes-{}"}),
        ({}, {"url": "http://example.org/{}"}),
        ({"base": ["Resource"], "expression": "language"}, {"url": "http://example.org/{}"}),
    ],
    ids=["one url", "one code", "one code of all types"],
)
async def test_of_many_that_claim_the_same_one_is_taken(
    client: httpx.AsyncClient, same: dict[str, Any], differing: dict[str, str]
) -> None:
    """Parallel creates with one URL, or with one code on a type, give one 201 and otherwise 409."""
    (name, pattern), *_ = differing.items()
    each = [eyes(**same) | {name: pattern.format(number)} for number in range(10)]
    answers = await asyncio.gather(*(client.post("SearchParameter", json=resource) for resource in each))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 9}
    issue = next(answer for answer in answers if answer.status_code == 409).json()["issue"][0]
    assert (issue["code"], "claimed" in issue["diagnostics"]) == ("duplicate", True)


async def test_a_claim_holds_in_transactions_and_updates_and_ends_with_its_holder(client: httpx.AsyncClient) -> None:
    """A transaction and an update as create are refused with 409, a deleted or retired parameter lets go."""
    first = await stored(client, eyes())
    entry = {"resource": eyes(code="iris"), "request": {"method": "POST", "url": "SearchParameter"}}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
    assert (await client.post("", json=bundle)).status_code == 409
    assert (await client.put("SearchParameter/two", json=eyes(id="two"))).status_code == 409
    assert (await client.put(f"SearchParameter/{first}", json=eyes(id=first, status="retired"))).status_code == 200
    assert (await client.put("SearchParameter/two", json=eyes(id="two"))).status_code == 201
    assert (await client.delete("SearchParameter/two")).status_code == 204
    assert (await client.put(f"SearchParameter/{first}", json=eyes(id=first))).status_code == 200


@pytest.mark.parametrize("change", [{"expression": "Patient.birthDate = today()"}, {"code": "family"}])
async def test_one_that_cannot_be_used_is_refused(client: httpx.AsyncClient, change: dict[str, Any]) -> None:
    """Create, update, transaction and $validate answer alike: 422, or the same issue with the element's FHIRPath."""
    resource = eyes(id="one") | change
    element = f"SearchParameter.{next(iter(change))}"
    created = await client.post("SearchParameter", json=resource)
    assert (created.status_code, created.json()["issue"][0]["expression"]) == (422, [element])
    assert (await client.put("SearchParameter/one", json=resource)).status_code == 422
    entry = {"resource": resource, "request": {"method": "POST", "url": "SearchParameter"}}
    answer = await client.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": [entry]})
    assert answer.json()["issue"][0]["expression"] == [element.replace("SearchParameter", "Bundle.entry[0].resource")]
    checked = await client.post("SearchParameter/$validate", json=resource)
    assert checked.json()["issue"][0]["expression"] == [element]
