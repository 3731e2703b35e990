"""How any operation is called: where it exists, by which method, with which parameters."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

PATIENT: dict[str, Any] = {"resourceType": "Patient", "id": "a", "active": True}
META = {
    "resourceType": "Parameters",
    "parameter": [{"name": "meta", "valueMeta": {"tag": [{"system": "http://tags.test", "code": "x"}]}}],
}


@pytest.fixture
async def patient(client: httpx.AsyncClient) -> None:
    """Store Patient/a."""
    (await client.put("Patient/a", json=PATIENT)).raise_for_status()


def fault(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    issue: dict[str, Any] = response.json()["issue"][0]
    return issue


async def test_an_operation_that_nobody_knows_is_not_found(client: httpx.AsyncClient) -> None:
    """An unknown operation answers 404 and lists those that exist."""
    issue = fault(await client.get("Patient/a/$nonsense"), 404)
    assert "$nonsense" in issue["diagnostics"]
    assert "[type]/[id]/$meta" in issue["diagnostics"]


async def test_an_operation_of_r4_that_is_not_here_is_not_found(client: httpx.AsyncClient) -> None:
    """An operation that R4 defines and this server lacks answers 404 as any other, and lists those that exist."""
    issue = fault(await client.post("StructureMap/$transform", json={"resourceType": "Parameters"}), 404)
    assert issue["code"] == "not-supported"
    assert "$validate" in issue["diagnostics"]


@pytest.mark.parametrize("path", ["$everything", "Patient/$meta-add", "Patient/a/_history/1/$validate"])
async def test_an_operation_exists_at_its_levels_only(client: httpx.AsyncClient, path: str) -> None:
    """An operation asked for at a level that it does not have answers 404 and says where it is."""
    issue = fault(await client.post(path, json=META), 404)
    assert "cannot be asked for here, but as" in issue["diagnostics"]


@pytest.mark.usefixtures("patient")
async def test_an_operation_that_changes_something_takes_no_get(client: httpx.AsyncClient) -> None:
    """GET on an operation that affects state answers 405 with Allow, and changes nothing."""
    answer = await client.get("Patient/a/$meta-add?meta=x")
    fault(answer, 405)
    assert answer.headers["Allow"] == "POST"
    assert (await client.get("Patient/a")).headers["ETag"] == 'W/"1"'


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
async def test_an_operation_takes_get_and_post_only(client: httpx.AsyncClient, method: str) -> None:
    """Any other method on an operation answers 405."""
    answer = await client.request(method, "Patient/a/$meta", json=PATIENT)
    fault(answer, 405)
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "POST", "OPTIONS"}


@pytest.mark.usefixtures("patient")
async def test_an_unknown_parameter_is_named(client: httpx.AsyncClient) -> None:
    """A parameter that the operation lacks answers 400 with its name, from the URL and from the body."""
    assert "'colour'" in fault(await client.get("Patient/a/$meta?colour=red"), 400)["diagnostics"]
    body = {"resourceType": "Parameters", "parameter": [{"name": "colour", "valueCode": "red"}]}
    issue = fault(await client.post("Patient/a/$meta-add", json=body), 400)
    assert "'colour'" in issue["diagnostics"]
    assert issue["expression"] == ["Parameters.parameter[0]"]


@pytest.mark.usefixtures("patient")
async def test_a_missing_parameter_is_named(client: httpx.AsyncClient) -> None:
    """A parameter that must be there and is not answers 400 with its name."""
    issue = fault(await client.post("Patient/a/$meta-add", json={"resourceType": "Parameters"}), 400)
    assert issue["code"] == "required"
    assert "parameter meta" in issue["diagnostics"]


@pytest.mark.usefixtures("patient")
async def test_a_parameter_that_may_stand_once_is_refused_twice(client: httpx.AsyncClient) -> None:
    """A repeated parameter answers 400 with its name."""
    twice = META | {"parameter": META["parameter"] * 2}
    assert "meta" in fault(await client.post("Patient/a/$meta-add", json=twice), 400)["diagnostics"]


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize(
    "part",
    [
        {"name": "meta", "valueString": "x"},
        {"name": "meta"},
        {"name": "meta", "valueMeta": {"tag": "x"}},
        {"valueMeta": {}},
        "meta",
    ],
)
async def test_a_parameter_of_another_type_is_refused(client: httpx.AsyncClient, part: Any) -> None:
    """A value that is not of the parameter's type answers 400."""
    body = {"resourceType": "Parameters", "parameter": [part]}
    fault(await client.post("Patient/a/$meta-add", json=body), 400)


@pytest.mark.usefixtures("patient")
async def test_operations_work_as_entries_of_a_batch(client: httpx.AsyncClient) -> None:
    """A batch entry may ask for an operation, by GET or with a Parameters resource; its answer stands in the entry."""
    entries = [
        {"request": {"method": "GET", "url": "Patient/a/$meta"}},
        {"resource": META, "request": {"method": "POST", "url": "Patient/a/$meta-add"}},
        {
            "resource": {"resourceType": "Patient", "colour": 1},
            "request": {"method": "POST", "url": "Patient/$validate"},
        },
        {"request": {"method": "GET", "url": "Patient/a/$nonsense"}},
    ]
    answer = await client.post("", json={"resourceType": "Bundle", "type": "batch", "entry": entries})
    read, added, validated, unknown = answer.json()["entry"]
    assert read["resource"]["parameter"][0]["valueMeta"]["versionId"] == "1"
    assert added["resource"]["parameter"][0]["valueMeta"]["versionId"] == "2"
    assert validated["response"]["status"] == "200 OK"
    assert validated["resource"]["issue"][0]["severity"] == "error"
    assert unknown["response"]["status"] == "404 Not Found"


@pytest.mark.usefixtures("patient")
async def test_operations_are_part_of_a_transaction(client: httpx.AsyncClient) -> None:
    """What an operation changes in a transaction that fails is not changed."""
    tagging = {"resource": META, "request": {"method": "POST", "url": "Patient/a/$meta-add"}}
    failing = {"request": {"method": "GET", "url": "Patient/missing"}}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [tagging, failing]}
    assert (await client.post("", json=bundle)).status_code == 404
    assert (await client.get("Patient/a")).json()["meta"]["versionId"] == "1"
    done = await client.post("", json=bundle | {"entry": [tagging]})
    assert done.status_code == 200
    read = (await client.get("Patient/a")).json()
    assert read["meta"]["versionId"] == "2"
    assert read["meta"]["tag"] == [{"system": "http://tags.test", "code": "x"}]
    assert (await client.get("Patient/a/_history/1")).status_code == 200


@pytest.mark.usefixtures("patient")
async def test_a_transaction_does_not_write_one_resource_twice(client: httpx.AsyncClient) -> None:
    """A transaction that updates a resource and changes its meta by an operation answers 400."""
    entries = [
        {"resource": PATIENT | {"active": False}, "request": {"method": "PUT", "url": "Patient/a"}},
        {"resource": META, "request": {"method": "POST", "url": "Patient/a/$meta-add"}},
    ]
    fault(await client.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": entries}), 400)
    assert (await client.get("Patient/a")).json()["active"] is True
