"""No accepted parameter does nothing: what an interaction does not take is refused by name."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from fhir_server.engine.engine import HANDLERS
from fhir_server.engine.query_parameters import TAKEN
from fhir_server.r4 import values

PATIENT: dict[str, Any] = {"resourceType": "Patient", "id": "a", "active": True}
CHANGED = PATIENT | {"active": False}
PATCH = [{"op": "replace", "path": "/active", "value": False}]
JSON_PATCH = {"Content-Type": "application/json-patch+json"}
BUNDLE: dict[str, Any] = {"resourceType": "Bundle", "type": "batch"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}

WITHOUT_UNKNOWN = [
    ("GET", "metadata", None),
    ("GET", "Patient/a", None),
    ("HEAD", "Patient/a", None),
    ("GET", "Patient/a/_history/1", None),
    ("GET", "Patient/a/_history", None),
    ("GET", "Patient/_history", None),
    ("GET", "_history", None),
    ("POST", "Patient", PATIENT),
    ("PUT", "Patient/a", CHANGED),
    ("PUT", "Patient?_id=a", CHANGED),
    ("PATCH", "Patient/a", PATCH),
    ("PATCH", "Patient?_id=a", PATCH),
    ("DELETE", "Patient/a", None),
    ("DELETE", "Patient?_id=a", None),
    ("POST", "", BUNDLE),
    ("GET", "Patient/a/$everything", None),
    ("GET", "Patient/a/$meta", None),
    ("POST", "Patient/$validate", PATIENT),
    ("GET", "$graphql?query={PatientList{id}}", None),
]
NAMES = [
    "shoesize",
    "identifier:missing",
    "_hardDelete",
    "_cascade",
    "_explain",
    "_include",
    "_containedType",
    "_",
    "__",
]


async def _send(client: httpx.AsyncClient, method: str, path: str, body: Any) -> httpx.Response:
    headers = JSON_PATCH if method == "PATCH" else {}
    content = None if body is None else values.encode(body)
    return await client.request(method, path, content=content, headers=headers)


def test_every_interaction_says_what_it_takes() -> None:
    """There is no interaction without a rule for its parameters."""
    assert TAKEN.keys() == HANDLERS.keys()


@pytest.mark.parametrize(("method", "path", "body"), WITHOUT_UNKNOWN)
async def test_an_unknown_parameter_is_refused(client: httpx.AsyncClient, method: str, path: str, body: Any) -> None:
    """Whatever the handling, a parameter that an interaction does not take is a 400 that names it; nothing changes."""
    await client.put("Patient/a", json=PATIENT)
    is_conditional = "?_id" in path
    for name in NAMES:
        if is_conditional and name == "identifier:missing":
            continue  # a criterion like any other
        for handling in ("strict", "lenient"):
            client.headers["Prefer"] = f"handling={handling}"
            answer = await _send(client, method, f"{path}{'&' if '?' in path else '?'}{name}=true", body)
            assert answer.status_code == 400, (name, answer.text)
            assert method == "HEAD" or name.partition(":")[0] in answer.text
    assert (await client.get("Patient/a")).json()["meta"]["versionId"] == "1"
    assert (await client.get("Patient?_summary=count")).json()["total"] == 1


@pytest.mark.parametrize("name", ["shoesize", "_hardDelete", "_containedType", "_include"])
@pytest.mark.parametrize("path", ["Patient", "", "Patient/a/Observation", "Patient/_search", "_search"])
async def test_a_search_tells_what_it_passes_over(client: httpx.AsyncClient, path: str, name: str) -> None:
    """Strict handling refuses it; lenient handling tells it in the answer, and the self link is without it."""
    if name == "_include" and path in ("", "_search"):
        return  # what is included there depends on what is stored
    value = {"_include": "Encounter:subject", "_containedType": "container"}.get(name, "x")
    method, body, query = "GET", None, f"?{name}={value}"
    if path.endswith("_search"):
        method, body, query = "POST", f"{name}={value}".encode(), ""
    strict, lenient = [
        await client.request(method, path + query, content=body, headers=FORM | {"Prefer": f"handling={handling}"})
        for handling in ("strict", "lenient")
    ]
    assert strict.status_code == 400
    bundle = lenient.json()
    assert name in bundle["entry"][-1]["resource"]["issue"][0]["diagnostics"]
    assert name not in next(link["url"] for link in bundle["link"] if link["relation"] == "self")


@pytest.mark.parametrize("path", ["Patient/_search", "_search", "Patient/a/Observation/_search", "Binary/_search"])
async def test_a_search_by_post_takes_a_form(client: httpx.AsyncClient, path: str) -> None:
    """Any other body is a 415 that names the form, instead of a search without its criteria."""
    await client.put("Patient/a", json=PATIENT)
    for kind in ("application/fhir+json", "application/fhir+xml", "application/json", "text/plain", ""):
        for handling in ("strict", "lenient"):
            headers = {"Content-Type": kind, "Prefer": f"handling={handling}"}
            for content in (b'{"resourceType": "Parameters"}', b"_id=b", b"<Parameters/>"):
                answer = await client.post(path, content=content, headers=headers)
                assert answer.status_code == 415
                assert FORM["Content-Type"] in answer.json()["issue"][0]["diagnostics"]
    assert (await client.post(path, content=b"_id=b", headers=FORM)).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "Patient"), ("PUT", "Patient/a"), ("POST", ""), ("PATCH", "Patient/a")]
)
async def test_a_form_is_no_resource(client: httpx.AsyncClient, method: str, path: str) -> None:
    """A form sent where a resource is wanted is a 415, and its pairs do not become parameters."""
    answer = await client.request(method, path, content=b"_format=json", headers=FORM)
    assert answer.status_code == 415


@pytest.mark.parametrize(
    ("method", "path", "conditions"),
    [
        ("PUT", "Patient/a", {"ifNoneExist": "_id=b"}),
        ("DELETE", "Patient/a", {"ifNoneExist": "_id=b"}),
        ("GET", "Patient/a", {"ifNoneExist": "_id=b"}),
        ("GET", "Patient/a", {"ifMatch": 'W/"9"'}),
        ("POST", "Patient", {"ifMatch": 'W/"9"'}),
        ("POST", "Patient", {"ifNoneMatch": "*"}),
        ("PUT", "Patient/a", {"ifModifiedSince": "2999-01-01T00:00:00Z"}),
    ],
)
@pytest.mark.parametrize("kind", ["batch", "transaction"])
async def test_a_condition_that_means_nothing_is_refused(
    client: httpx.AsyncClient, kind: str, method: str, path: str, conditions: dict[str, str]
) -> None:
    """A condition on an interaction that does not look at it must not count as met."""
    await client.put("Patient/a", json=PATIENT)
    entry: dict[str, Any] = {"request": {"method": method, "url": path, **conditions}}
    if method in ("PUT", "POST"):
        entry["resource"] = CHANGED
    answer = await client.post("", json={"resourceType": "Bundle", "type": kind, "entry": [entry]})
    status = answer.json()["entry"][0]["response"]["status"] if kind == "batch" else str(answer.status_code)
    assert status.startswith("400")
    assert next(iter(conditions)) in answer.text
    assert (await client.get("Patient/a")).json()["meta"]["versionId"] == "1"


async def test_controls_of_the_answer_go_with_everything(client: httpx.AsyncClient) -> None:
    """_format and _pretty are taken by every interaction; sent twice with different values they are refused."""
    await client.put("Patient/a", json=PATIENT)
    for method, path, body in WITHOUT_UNKNOWN:
        query = f"{'&' if '?' in path else '?'}_format=json&_pretty=true"
        answer = await _send(client, method, path + query, body)
        assert answer.status_code in (200, 201, 204, 404, 410), (method, path, answer.text)
    assert (await client.get("metadata?_format=json&_format=xml")).status_code == 400


async def test_multiple_belongs_to_a_delete(client: httpx.AsyncClient) -> None:
    """_multiple on another conditional interaction is an unknown criterion."""
    await client.put("Patient/a", json=PATIENT)
    assert (await client.put("Patient?_id=a&_multiple=true", json=CHANGED)).status_code == 400
    assert (await client.delete("Patient?_id=a&_multiple=true&_multiple=false")).status_code == 400
    assert (await client.delete("Patient?_id=a&_page=x")).status_code == 400
