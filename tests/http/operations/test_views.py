"""Views over HTTP: the rows of what the caller sees, in the form that is asked for."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import httpx
import pytest

RUN = "ViewDefinition/$viewdefinition-run"
NAMES: dict[str, Any] = {
    "resourceType": "ViewDefinition",
    "status": "active",
    "name": "names",
    "resource": "Patient",
    "select": [
        {"column": [{"name": "key", "path": "getResourceKey()"}, {"name": "active", "path": "active"}]},
        {"forEachOrNull": "name", "column": [{"name": "given", "path": "given", "collection": True}]},
    ],
}


def body(view: dict[str, Any] = NAMES, **inputs: Any) -> dict[str, Any]:
    """Return the Parameters of a run."""
    more = [
        {"name": name.removesuffix("_"), **part}
        for name, parts in inputs.items()
        for part in (parts if isinstance(parts, list) else [parts])
    ]
    return {"resourceType": "Parameters", "parameter": [{"name": "viewResource", "resource": view}, *more]}


@pytest.fixture
async def patients(client: httpx.AsyncClient) -> None:
    """Two patients, and a plan of one."""
    for resource in (
        {"resourceType": "Patient", "id": "a", "active": True, "name": [{"given": ["Ana", 'Maria, "M"']}]},
        {"resourceType": "Patient", "id": "b"},
        {
            "resourceType": "Flag",
            "id": "f",
            "status": "active",
            "code": {"text": "a"},
            "subject": {"reference": "Patient/b"},
        },
    ):
        answer = await client.put(f"{resource['resourceType']}/{resource['id']}", json=resource)
        assert answer.status_code == 201, answer.text


@pytest.mark.usefixtures("patients")
async def test_rows_come_in_the_form_asked_for(client: httpx.AsyncClient) -> None:
    """NDJSON by default; JSON and CSV by Accept or `_format`, which goes first."""
    expected = [
        {"key": "Patient/a", "active": True, "given": ["Ana", 'Maria, "M"']},
        {"key": "Patient/b", "active": None, "given": []},
    ]
    answer = await client.post(RUN, json=body())
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line) for line in answer.text.splitlines()] == expected
    assert (await client.post(RUN, json=body(), headers={"Accept": "application/json"})).json() == expected
    answer = await client.post(f"{RUN}?_format=csv", json=body(), headers={"Accept": "application/json"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    table = list(csv.reader(io.StringIO(answer.text, newline="")))
    assert table == [
        ["key", "active", "given"],
        ["Patient/a", "true", '["Ana","Maria, \\"M\\""]'],
        ["Patient/b", "", "[]"],
    ]
    answer = await client.post(f"{RUN}?_format=csv&header=false&_limit=1", json=body())
    assert answer.text.startswith("Patient/a,")
    assert answer.text.count("\r\n") == 1


@pytest.mark.usefixtures("patients")
async def test_rows_of_some_patients(client: httpx.AsyncClient) -> None:
    """`patient` and `_since` narrow what is read; `resource` is read instead of what is stored."""
    flags = {
        "resourceType": "ViewDefinition",
        "resource": "Flag",
        "select": [{"column": [{"name": "who", "path": "subject.getReferenceKey(Patient)"}]}],
    }

    async def rows(view: dict[str, Any], **inputs: Any) -> list[Any]:
        answer = await client.post(RUN, json=body(view, **inputs), headers={"Accept": "application/json"})
        assert answer.status_code == 200, answer.text
        response: list[Any] = answer.json()
        return response

    of_a, of_b = ({"valueReference": {"reference": f"Patient/{name}"}} for name in "ab")
    assert await rows(flags, patient=of_b) == [{"who": "Patient/b"}]
    assert await rows(flags, patient=of_a) == []
    assert await rows(flags, _since={"valueInstant": "2100-01-01T00:00:00Z"}) == []
    sent = [{"resource": {"resourceType": "Patient", "id": name}} for name in "xy"]
    assert [row["key"] for row in await rows(NAMES, resource=sent)] == ["Patient/x", "Patient/y"]


@pytest.mark.parametrize(
    ("query", "sent", "status", "text"),
    [
        ("", {"resourceType": "Parameters"}, 400, "viewResource"),
        ("?_format=parquet", body(), 406, "csv, json or ndjson"),
        ("?header=false", body(), 400, "header"),
        ("?nothing=1", body(), 400, "nothing"),
        ("?_limit=0", body(), 400, "_limit"),
        ("", body(NAMES | {"resource": "Nothing"}), 422, "ViewDefinition.resource"),
        ("", body({**NAMES, "select": [{"column": [{"name": "a", "path": "("}]}]}), 422, "column[0].path"),
        ("", body(resource={"resource": {"resourceType": "Patient", "gender": "?"}}), 422, "Patient.gender"),
        ("", body(patient={"valueReference": {"reference": "Patient/a?b"}}), 400, "Patient/123"),
        (
            "",
            body(resource={"resource": {"resourceType": "Patient"}}, _since={"valueInstant": "2020-01-01T00:00:00Z"}),
            400,
            "_since",
        ),
        (
            "",
            body(
                {**NAMES, "select": [{"column": [{"name": "given", "path": "name.given"}]}]},
                resource={"resource": {"resourceType": "Patient", "name": [{"given": ["a", "b"]}]}},
            ),
            422,
            "column given has 2 values",
        ),
    ],
)
async def test_what_cannot_be_is_refused(
    client: httpx.AsyncClient, query: str, sent: dict[str, Any], status: int, text: str
) -> None:
    """With an OperationOutcome that names the place."""
    answer = await client.post(RUN + query, json=sent)
    assert answer.status_code == status
    assert answer.json()["resourceType"] == "OperationOutcome"
    assert text in answer.text


async def test_a_view_definition_is_no_resource_here(client: httpx.AsyncClient) -> None:
    """It has operations, and is not stored; other operations do not take it."""
    for path in ("ViewDefinition", "ViewDefinition/1", "ViewDefinition/$meta"):
        assert (await client.get(path)).status_code == 404
