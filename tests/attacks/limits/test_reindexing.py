"""What is stored can be hard to index: it neither stops the jobs that index anew nor costs them without end."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from fhir_server.engine.context import Services
from fhir_server.jobs.search_parameters import Course
from fhir_server.search.index.index_plan import take_too_costly
from fhir_server.store.resources import reindexing
from fhir_server.work.budget import spend
from tests.client import BASE
from tests.jobs.conftest import BLUE, eyes, following
from tests.jobs.test_search_parameters import found, to_the_end

__all__ = ["following"]

COSTLY = "Patient.name.where(%resource.name.where(%resource.name.where(family = 'a').exists()).exists()).family"


async def _stored(client: httpx.AsyncClient, resource: dict[str, Any]) -> str:
    answer = await client.post(resource["resourceType"], json=resource)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def test_a_parameter_that_is_too_costly_is_refused(client: httpx.AsyncClient, following: Services) -> None:
    """After a few resources nobody indexes by it any more, restarts included; the others of the pass are used."""
    ids = {
        await _stored(client, {"resourceType": "Patient", "name": [{"family": f"f{at}"} for at in range(100)]} | BLUE)
        for _ in range(6)
    }
    url = f"SearchParameter/{await _stored(client, eyes())}"
    costly = eyes(url="http://example.org/costly", code="costly", type="string", expression=COSTLY)
    costly_url = f"SearchParameter/{await _stored(client, costly)}"
    course = await to_the_end(following)
    await following.following.refuse(take_too_costly())
    await to_the_end(following, course)
    phases = {each.wish.definition.code: each.phase for each in (await following.following.store.state()).entries}
    assert phases == {"eyes": "active", "costly": "refused"}
    assert await found(client) == ids
    assert await found(client, "Patient?costly=a") == 400
    await _stored(client, {"resourceType": "Patient", "name": [{"family": "a"}] * 100})
    assert take_too_costly() == frozenset()
    # Another worker, or this one after a restart, goes by the same state.
    await to_the_end(following, Course(following, BASE))
    assert take_too_costly() == frozenset()
    changed = costly | {"id": costly_url.split("/")[1], "expression": "Patient.name.family"}
    assert (await client.put(costly_url, json=changed)).status_code == 200
    await to_the_end(following, course)
    assert isinstance(await found(client, "Patient?costly=f1"), set)
    assert (await client.get(url)).status_code == 200


async def test_a_resource_that_cannot_be_indexed_is_passed_over(
    client: httpx.AsyncClient, following: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried once and marked, the others are found; its next version is indexed like any other."""
    good, bad = [await _stored(client, {"resourceType": "Patient"} | BLUE) for _ in range(2)]
    tried: list[str] = []
    original = Course(following, BASE)._index

    def index(resource: dict[str, Any]) -> Any:
        tried.append(resource["id"])
        if resource["id"] == bad:
            while True:
                spend(1000)
        return original(resource)

    def course() -> Course:
        made = Course(following, BASE)
        monkeypatch.setattr(made, "_index", index)
        return made

    await _stored(client, eyes())
    await to_the_end(following, course())
    assert await found(client) == {good}
    assert "1 could not be" in (await following.following.store.state()).failure
    await _stored(client, eyes(url="http://example.org/tongue", code="tongue", expression="Patient.language"))
    await to_the_end(following, course())
    assert tried.count(bad) == 1
    assert tried.count(good) == 2
    again = await client.put(f"Patient/{bad}", json={"resourceType": "Patient", "id": bad, "language": "de"} | BLUE)
    assert again.status_code == 200
    assert await found(client) == {good, bad}
    document = await following.database.current("Patient").find_one({"_id": bad})
    assert document is not None
    assert reindexing.UNINDEXED not in document
