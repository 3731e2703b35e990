"""Prefer: respond-async on searches, batches and operations: taken at once, answered at a URL of their own."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
import pytest

from fhir_server.engine.context import Services
from fhir_server.jobs.async_requests import take_over, take_turn
from fhir_server.store.work.async_requests import AsyncRequestStore

ASYNC = {"Prefer": "respond-async"}
WORKER = "w"


async def taken(client: httpx.AsyncClient, method: str, url: str, body: Any = None) -> str:
    answer = await client.request(method, url, json=body, headers=ASYNC)
    assert answer.status_code == 202, answer.text
    return answer.headers["content-location"]


async def carry_out(services: Services) -> None:
    store = AsyncRequestStore(services.database)
    while await take_turn(services, store, WORKER):
        pass


async def answered(client: httpx.AsyncClient, services: Services, method: str, url: str, body: Any = None) -> Any:
    status = await taken(client, method, url, body)
    waiting = await client.get(status)
    assert waiting.status_code == 202
    assert "retry-after" in waiting.headers
    await carry_out(services)
    answer = await client.get(status)
    assert answer.status_code == 200
    bundle = answer.json()
    assert bundle["type"] == "batch-response"
    (entry,) = bundle["entry"]
    return entry


async def patients(client: httpx.AsyncClient) -> None:
    for name in "ab":
        await client.put(f"Patient/{name}", json={"resourceType": "Patient", "id": name})


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("GET", "Patient?_id=a"),
        ("GET", "?_type=Patient&_id=a"),
        ("GET", "Patient/a/_history"),
        ("GET", "Patient/a/$everything"),
        ("GET", "Patient/a/$meta"),
    ],
)
async def test_the_answer_is_what_it_would_have_been(
    client: httpx.AsyncClient, services: Services, method: str, url: str
) -> None:
    await patients(client)
    entry = await answered(client, services, method, url)
    assert entry["response"]["status"] == "200"
    direct = (await client.request(method, url)).json()
    for both in (entry["resource"], direct):  # of the moment
        both.pop("id", None)
        both.pop("meta", None)
    assert entry["resource"] == direct


async def test_a_transaction_is_carried_out_once(client: httpx.AsyncClient, services: Services) -> None:
    create = {"resource": {"resourceType": "Patient"}, "request": {"method": "POST", "url": "Patient"}}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [create]}
    entry = await answered(client, services, "POST", "", bundle)
    assert entry["resource"]["entry"][0]["response"]["status"].startswith("201")
    assert (await client.get("Patient?_summary=count")).json()["total"] == 1


async def test_a_failure_is_the_answer(client: httpx.AsyncClient, services: Services) -> None:
    entry = await answered(client, services, "GET", "Patient/none/$everything")
    assert entry["response"]["status"] == "404"
    assert entry["response"]["outcome"]["resourceType"] == "OperationOutcome"
    assert "resource" not in entry


async def test_a_read_is_answered_at_once(client: httpx.AsyncClient) -> None:
    """The preference may be passed over, and a read is no work to wait for."""
    await patients(client)
    assert (await client.get("Patient/a", headers=ASYNC)).status_code == 200


async def test_what_changes_nothing_is_begun_again(client: httpx.AsyncClient, services: Services) -> None:
    await patients(client)
    store = AsyncRequestStore(services.database)
    search = await taken(client, "GET", "Patient")
    batch = await taken(client, "POST", "", {"resourceType": "Bundle", "type": "batch"})
    for _ in range(2):
        assert await store.take("a worker that dies") is not None
    await take_over(services, store, WORKER)
    await carry_out(services)
    assert (await client.get(search)).json()["entry"][0]["response"]["status"] == "200"
    assert (await client.get(batch)).json()["entry"][0]["response"]["status"] == "500"


async def test_delete_forgets_it(client: httpx.AsyncClient, services: Services) -> None:
    status = await taken(client, "GET", "Patient")
    assert (await client.delete(status)).status_code == 202
    assert (await client.get(status)).status_code == 404
    await carry_out(services)
    assert await services.database.collection("async_requests.files").count_documents({}) == 0


async def test_too_many_at_once(client: httpx.AsyncClient, services: Services) -> None:
    for _ in range(services.settings.max_exports):
        await taken(client, "GET", "Patient")
    answer = await client.get("Patient", headers=ASYNC)
    assert answer.status_code == 429


async def test_what_is_purged_is_in_no_answer_any_more(client: httpx.AsyncClient, services: Services) -> None:
    await patients(client)
    status = await taken(client, "GET", "Patient")
    await carry_out(services)
    await client.put("Basic/x", json={"resourceType": "Basic", "id": "x", "code": {"text": "x"}})
    await client.post("Basic/x/$purge")
    assert (await client.get(status)).status_code == 404


async def test_what_is_carried_out_during_an_erasure_shows_nothing_of_it(
    client: httpx.AsyncClient, services: Services
) -> None:
    """What changes nothing is begun anew; of another request only the status is told."""
    await patients(client)
    store = AsyncRequestStore(services.database)
    search = await taken(client, "GET", "Patient")
    batch = await taken(client, "POST", "", {"resourceType": "Bundle", "type": "batch"})
    begun = [each for _ in range(2) if (each := await store.take(WORKER)) is not None]
    await store.withdraw()
    for each in begun:
        await store.finish(
            msgspec.structs.replace(each, finished=each.created, expires=each.created, status=200), b'{"secret": 1}'
        )
    assert (await client.get(search)).status_code == 202
    assert (await client.get(batch)).json()["entry"] == [{"response": {"status": "200"}}]
    await carry_out(services)
    assert (await client.get(search)).json()["entry"][0]["response"]["status"] == "200"


async def test_too_much_work_names_its_own_limit(client: httpx.AsyncClient, services: Services) -> None:
    """The limit of what is answered later is not the one of a request that is waited for."""
    services.settings.max_async_seconds = 0.000_01
    many = ",".join(f"p{number}" for number in range(2000))
    entry = await answered(client, services, "GET", f"Patient?identifier={many}")
    assert entry["response"]["status"] == "422"
    assert "max_async_seconds" in entry["response"]["outcome"]["issue"][0]["diagnostics"]
