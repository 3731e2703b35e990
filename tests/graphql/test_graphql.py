"""$graphql as https://hl7.org/fhir/R4/graphql.html has it: its examples, and what it says SHALL be."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest

PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "example",
    "identifier": [{"system": "urn:oid:1.2.36.146.595.217.0.1", "value": "12345"}],
    "active": True,
    "name": [
        {"use": "official", "family": "Chalmers", "given": ["Peter", "James"]},
        {"use": "usual", "given": ["Jim"]},
        {"use": "maiden", "family": "Windsor", "given": ["Peter", "James"]},
    ],
    "birthDate": "1974-12-25",
    "_birthDate": {"extension": [{"url": "http://example.org/time", "valueDateTime": "1974-12-25T14:35:45-05:00"}]},
    "contained": [{"resourceType": "Organization", "id": "org", "name": "Inside"}],
    "managingOrganization": {"reference": "#org"},
    "generalPractitioner": [{"reference": "Practitioner/none"}, {"reference": "Practitioner/one"}, {"display": "Who"}],
}
PRACTITIONER = {"resourceType": "Practitioner", "id": "one", "active": False, "name": [{"family": "Careful"}]}
CONDITIONS = [
    {
        "resourceType": "Condition",
        "id": f"c{number}",
        "clinicalStatus": {
            "coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": code}]
        },
        "subject": {"reference": "Patient/example"},
        "onsetString": str(number),
    }
    for number, code in enumerate(("active", "relapse", "relapse", "resolved", "active"))
]
OBSERVATION = (
    '{"resourceType":"Observation","id":"obs","status":"final","code":{"text":"x"},'
    '"subject":{"reference":"Patient/example"},"valueQuantity":{"value":1.50,"unit":"kg"}}'
)


@pytest.fixture
async def graph(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """A server with a patient, what refers to it, and what it refers to."""
    for resource in (PATIENT, PRACTITIONER, *CONDITIONS):
        answer = await client.put(f"{resource['resourceType']}/{resource['id']}", json=resource)
        assert answer.status_code == 201, answer.text
    assert (await client.put("Observation/obs", content=OBSERVATION)).status_code == 201
    return client


async def ask(client: httpx.AsyncClient, query: str, at: str = "Patient/example/", **more: Any) -> Any:
    """Return the data that a query gives at a resource, or with an empty `at` on the system."""
    answer = await client.post(f"{at}$graphql", json={"query": query, **more})
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    return answer.json()["data"]


async def refused(client: httpx.AsyncClient, query: str, at: str = "Patient/example/", **more: Any) -> tuple[int, str]:
    """Return the status and the messages with which a query is refused; each has its OperationOutcome."""
    answer = await client.post(f"{at}$graphql", json={"query": query, **more})
    body = answer.json()
    assert body["data"] is None
    outcomes = [error["extensions"]["resource"] for error in body["errors"]]
    assert {outcome["resourceType"] for outcome in outcomes} == {"OperationOutcome"}
    return answer.status_code, " ".join(error["message"] for error in body["errors"])


FLATTENING = {
    "identifier @flatten { system value } active name @flatten { text given family }": {
        "system": ["urn:oid:1.2.36.146.595.217.0.1"],
        "value": ["12345"],
        "active": True,
        "given": ["Peter", "James", "Jim", "Peter", "James"],
        "family": ["Chalmers", "Windsor"],
    },
    "name @flatten { text given @first family }": {
        "given": ["Peter", "Jim", "Peter"],
        "family": ["Chalmers", "Windsor"],
    },
    "identifier @flatten { system @singleton value @singleton } name @flatten @first { given family @singleton }": {
        "system": "urn:oid:1.2.36.146.595.217.0.1",
        "value": "12345",
        "given": ["Peter", "James"],
        "family": "Chalmers",
    },
    'name @flatten @slice(path: "use") { given family @singleton }': {
        "given.official": ["Peter", "James"],
        "family.official": "Chalmers",
        "given.usual": ["Jim"],
        "given.maiden": ["Peter", "James"],
        "family.maiden": "Windsor",
    },
    'name @slice(path: "$index") @flatten { given @first @singleton family }': {
        "given.0": "Peter",
        "family.0": ["Chalmers"],
        "given.1": "Jim",
        "given.2": "Peter",
        "family.2": ["Windsor"],
    },
}
LISTS = {
    "name { text given family }": [
        {"given": ["Peter", "James"], "family": "Chalmers"},
        {"given": ["Jim"]},
        {"given": ["Peter", "James"], "family": "Windsor"},
    ],
    'name(fhirpath: "family.exists()") { family }': [{"family": "Chalmers"}, {"family": "Windsor"}],
    'name(fhirpath: "$index = 1") { given }': [{"given": ["Jim"]}],
    "name(use: official) { family }": [{"family": "Chalmers"}],
    "name(use: [usual, maiden]) { use }": [{"use": "usual"}, {"use": "maiden"}],
    "name(_offset: 1, _count: 1) { use }": [{"use": "usual"}],
    'name(fhirpath: "family.exists()", _offset: 1) { use }': [{"use": "maiden"}],
    "name @first { use }": [{"use": "official"}],
}


async def test_flattening_gives_what_the_specification_shows(graph: httpx.AsyncClient) -> None:
    """@flatten, @first, @singleton and @slice as in the examples of the specification, in their order."""
    for query, expected in FLATTENING.items():
        assert list((await ask(graph, f"{{ {query} }}")).items()) == list(expected.items())


async def test_list_arguments_choose_members(graph: httpx.AsyncClient) -> None:
    """fhirpath, a sub-element's value, _offset and _count select; _offset and _count count what the others leave."""
    for query, expected in LISTS.items():
        assert await ask(graph, f"{{ {query} }}") == {"name": expected}


async def test_elements_are_selected_as_in_json(graph: httpx.AsyncClient) -> None:
    """Aliases, extensions of primitives, the type, booleans, and what is absent is left out."""
    data = await ask(
        graph, "{ kind: resourceType __typename born: birthDate _birthDate { extension { valueDateTime } } gender }"
    )
    assert data == {
        "kind": "Patient",
        "__typename": "Patient",
        "born": "1974-12-25",
        "_birthDate": {"extension": [{"valueDateTime": "1974-12-25T14:35:45-05:00"}]},
    }


async def test_decimals_keep_their_digits(graph: httpx.AsyncClient) -> None:
    """1.50 stays 1.50, and a choice element has the name of its type."""
    answer = await graph.post("Observation/obs/$graphql", json={"query": "{ valueQuantity { value unit } }"})
    assert answer.content == b'{"data":{"valueQuantity":{"value":1.50,"unit":"kg"}}}'


async def test_references_are_followed(graph: httpx.AsyncClient) -> None:
    """To another resource, to a contained one, by type as argument or fragment; of another type they are left out."""
    data = await ask(
        graph,
        "{ subject { reference resource { ... on Patient { birthDate } ... on Group { name } } } }",
        "Observation/obs/",
    )
    assert data == {"subject": {"reference": "Patient/example", "resource": {"birthDate": "1974-12-25"}}}
    data = await ask(
        graph, "{ subject { resource(type: Patient) { id } resource(type: Group) { name } } }", "Observation/obs/"
    )
    assert data == {"subject": {"resource": {"id": "example"}}}
    assert await ask(graph, "{ managingOrganization { resource { name } } }") == {
        "managingOrganization": {"resource": {"name": "Inside"}}
    }


async def test_a_missing_resource_is_an_error_unless_optional(graph: httpx.AsyncClient) -> None:
    """The whole answer is the error then; with optional, or without a reference, the field is left out."""
    query = "{ generalPractitioner { resource%s { id } } }"
    assert await refused(graph, query % "") == (404, "Practitioner/none does not exist.")
    data = await ask(graph, query % "(optional: true)")
    assert data == {"generalPractitioner": [{}, {"resource": {"id": "one"}}, {}]}


async def test_the_system_is_read_and_searched(graph: httpx.AsyncClient) -> None:
    """One resource by id, a list by search parameters with '_' for '-', arrays as OR."""
    assert await ask(graph, "{ Patient(id: example) { id active } }", "") == {
        "Patient": {"id": "example", "active": True}
    }
    query = "{ ConditionList(clinical_status: %s, patient: example, _sort: _id) { id } }"
    assert await ask(graph, query % "relapse", "") == {"ConditionList": [{"id": "c1"}, {"id": "c2"}]}
    answer = (await ask(graph, query % "[relapse, resolved]", ""))["ConditionList"]
    assert [each["id"] for each in answer] == ["c1", "c2", "c3"]
    assert await ask(graph, "{ ConditionList(_id: c9) { id } }", "") == {"ConditionList": []}
    late = "{ ConditionList(fhirpath: \"onset > '2'\", _sort: _id, _count: 4, _offset: 1) { id } }"
    data = await ask(graph, late, "")
    assert data == {"ConditionList": [{"id": "c3"}, {"id": "c4"}]}


async def test_a_comma_in_a_value_is_no_alternative(graph: httpx.AsyncClient) -> None:
    """Alternatives are arrays: a string with a comma is one value."""
    await graph.post("Patient", json={"resourceType": "Patient", "name": [{"family": "Windsor, jun."}]})
    data = await ask(graph, '{ PatientList(family: "Windsor, jun") { name { family } } }', "")
    assert data == {"PatientList": [{"name": [{"family": "Windsor, jun."}]}]}


async def test_what_refers_to_a_resource_is_found(graph: httpx.AsyncClient) -> None:
    """A List below a resource needs _reference, and finds by it; so at every level."""
    data = await ask(graph, "{ birthDate ConditionList(_reference: patient, clinical_status: resolved) { id } }")
    assert data == {"birthDate": "1974-12-25", "ConditionList": [{"id": "c3"}]}
    inner = "... on Patient { ConditionConnection(_reference: patient) { count } }"
    data = await ask(graph, f"{{ ObservationList {{ subject {{ resource {{ {inner} }} }} }} }}", "")
    assert data["ObservationList"][0]["subject"]["resource"] == {"ConditionConnection": {"count": 5}}
    assert (await refused(graph, "{ ConditionList(clinical_status: active) { id } }"))[0] == 400


async def test_a_connection_leads_through_all_pages(graph: httpx.AsyncClient) -> None:
    """Its cursors lead on and back; count is the whole, offset the place, and each match comes once."""
    fields = "{ count offset pagesize first previous next last edges { mode score resource { id } } }"
    data = (await ask(graph, f"{{ ConditionConnection(_count: 2, _sort: _id) {fields} }}", ""))["ConditionConnection"]
    assert (data["count"], data["offset"], data["pagesize"], "previous" in data) == (5, 0, 2, False)
    assert data["edges"][0] == {"mode": "match", "resource": {"id": "c0"}}
    seen = [edge["resource"]["id"] for edge in data["edges"]]
    offsets = []
    while "next" in data:
        query = f"query next($at: String) {{ ConditionConnection(_cursor: $at) {fields} }}"
        data = (await ask(graph, query, "", variables={"at": data["next"]}))["ConditionConnection"]
        seen += [edge["resource"]["id"] for edge in data["edges"]]
        offsets.append(data["offset"])
    assert seen == ["c0", "c1", "c2", "c3", "c4"]
    assert offsets == [2, 4]
    assert {"previous", "first"} <= set(data)


async def test_a_list_is_whole_or_refused(graph: httpx.AsyncClient, settings: Any) -> None:
    """More matches than one answer holds are an error that says what to do, never a list that lacks some."""
    settings.max_page_size = 4
    status, message = await refused(graph, "{ ConditionList { id } }", "")
    assert (status, "ConditionConnection" in message) == (413, True)
    assert len((await ask(graph, "{ ConditionList(_count: 5) { id } }", ""))["ConditionList"]) == 5


async def test_fragments_variables_and_conditions(graph: httpx.AsyncClient) -> None:
    """Named fragments, variables with defaults, operationName, @skip and @include."""
    query = (
        "query one($use: code = usual, $with: Boolean!) { name(use: $use) { ...parts } active @skip(if: $with) } "
        "query two { id } fragment parts on HumanName { given use @include(if: $with) }"
    )
    data = await ask(graph, query, operationName="one", variables={"with": True})
    assert data == {"name": [{"given": ["Jim"], "use": "usual"}]}
    data = await ask(graph, query, operationName="one", variables={"with": False, "use": "maiden"})
    assert data == {"name": [{"given": ["Peter", "James"]}], "active": True}
    assert await ask(graph, query, operationName="two") == {"id": "example"}
    assert (await refused(graph, query))[0] == 400
    assert "$with" in (await refused(graph, query, operationName="one"))[1]


REFUSED = {
    "{ colour }": "no element colour",
    "{ name }": "needs a selection",
    "{ active { x } }": "has no fields",
    "{ active(fhirpath: true) }": "no argument",
    "{ name(colour: red) { use } }": "no argument colour",
    "{ name @green { use } }": "@green",
    "{ active @flatten }": "flattened",
    "{ name @slice { use } }": "@slice takes path",
    '{ name(fhirpath: "((") { use } }': "FHIRPath",
    "{ ...none }": "none is not there",
    "{ ...a } fragment a on Patient { ...a }": "contains itself",
    "{ ... on Colour { id } }": "Colour",
    "{ ... on Observation { id } }": "never a Observation",
    "{ name { use ": "Syntax Error",
    "mutation { PatientDelete(id: x) { id } }": "Only queries",
    "type X { a: Int }": "no type definitions",
    "{ ConditionList(_reference: colour) { id } }": "colour",
    "{ ConditionList(_reference: patient, _id: 1) { id } }": "no argument _id",
    "{ ConditionConnection(_reference: patient, _cursor: x) { count } }": "no argument _cursor",
    "{ ConditionList(_reference: patient, _include: x) { id } }": "no argument _include",
    "{ managingOrganization { resource(type: Colour) { id } } }": "Colour",
    "{ name(_count: -1) { use } }": "whole numbers",
    "{ name @flatten { use @singleton } }": "more than one use",
    "{ a: active a: birthDate }": "alias",
    "{ name(use: $x) { use } }": "$x",
}


async def test_what_is_not_understood_is_an_error(graph: httpx.AsyncClient) -> None:
    """400 with the fault, and without data: unknown fields, arguments, directives, types, fragments, variables."""
    for query, expected in REFUSED.items():
        status, message = await refused(graph, query)
        assert (status, expected in message) == (400, True), f"{query}: {message}"


async def test_all_faults_of_a_statement_are_told_with_their_places(graph: httpx.AsyncClient) -> None:
    """Each error has its line and column."""
    answer = await graph.post("Patient/example/$graphql", json={"query": "{\n  colour\n  name { shade }\n}"})
    assert [error["locations"] for error in answer.json()["errors"]] == [
        [{"line": 2, "column": 3}],
        [{"line": 3, "column": 10}],
    ]


async def test_a_flattened_list_is_of_one_type(graph: httpx.AsyncClient) -> None:
    """What @flatten brings together under one name must be of one type."""
    assert (
        "brings together" in (await refused(graph, "{ name @flatten { x: use } identifier @flatten { x: value } }"))[1]
    )


async def test_the_size_of_a_statement_is_limited(graph: httpx.AsyncClient, settings: Any) -> None:
    """Levels, fields (those of fragments each time they are spread) and resources read have limits of their own."""
    deep = "{ managingOrganization { resource " + "{ partOf { resource " * 6 + "{ id }" + " } }" * 7
    settings.max_graphql_depth = 10
    assert "levels" in (await refused(graph, deep))[1]
    bomb = "{ ...a }" + "".join(
        f" fragment {name} on Patient {{ ...{after} ...{after} }}"
        for name, after in zip("abcdefghijklmno", "bcdefghijklmnop", strict=True)
    )
    assert "fields" in (await refused(graph, bomb + " fragment p on Patient { id }"))[1]
    settings.max_graphql_resources = 3
    status, message = await refused(graph, "{ ConditionConnection(_count: 4) { edges { resource { id } } } }", "")
    assert (status, "more than 3 resources" in message) == (413, True)


async def test_every_way_to_ask(graph: httpx.AsyncClient) -> None:
    """GET with query, POST of the query itself, of JSON and of Parameters; in a batch the result is a Binary."""
    expected = {"data": {"active": True}}
    url = "Patient/example/$graphql"
    assert (await graph.get(url, params={"query": "{active}"})).json() == expected
    text = {"Content-Type": "application/graphql"}
    assert (await graph.post(url, content="{active}", headers=text)).json() == expected
    json_ = {"Content-Type": "application/json"}
    assert (await graph.post(url, content='{"query":"{active}"}', headers=json_)).json() == expected
    parameters = {"resourceType": "Parameters", "parameter": [{"name": "query", "valueString": "{active}"}]}
    assert (await graph.post(url, json=parameters)).json() == expected
    entry = {"request": {"method": "GET", "url": f"{url}?query=%7Bactive%7D"}}
    batch = await graph.post("", json={"resourceType": "Bundle", "type": "batch", "entry": [entry]})
    binary = batch.json()["entry"][0]["resource"]
    assert (binary["resourceType"], binary["contentType"]) == ("Binary", "application/json")
    assert json.loads(base64.b64decode(binary["data"])) == expected
    assert (await graph.post(url, json={})).status_code == 400


async def test_a_missing_resource_is_404_in_graphql_s_form(graph: httpx.AsyncClient) -> None:
    """At a resource that does not exist, and for one that the statement names."""
    assert (await refused(graph, "{ id }", "Patient/none/"))[0] == 404
    assert (await refused(graph, "{ Patient(id: none) { id } }", ""))[0] == 404


async def test_the_capability_statement_has_it(client: httpx.AsyncClient) -> None:
    """$graphql is stated for the system and for types."""
    rest = (await client.get("metadata")).json()["rest"][0]
    assert "graphql" in {each["name"] for each in rest["operation"]}
    assert "graphql" in {each["name"] for each in rest["resource"][0]["operation"]}


async def test_a_connection_leads_back_over_a_page_that_ended_early(graph: httpx.AsyncClient, settings: Any) -> None:
    """A page of large resources has fewer than were asked for: the way back has the offsets of the way there."""
    settings.max_page_bytes = 30_000
    for number in range(7):
        note = {"text": "x" * (20_000 if number % 3 else 100)}
        await graph.put(f"Basic/b{number}", json={"resourceType": "Basic", "id": f"b{number}", "code": note})
    fields = "{ offset first previous next edges { resource { id } } }"

    async def page(arguments: str) -> dict[str, Any]:
        answer: dict[str, Any] = (await ask(graph, f"{{ BasicConnection({arguments}) {fields} }}", ""))[
            "BasicConnection"
        ]
        return answer

    forward = [await page("_count: 4, _sort: _id")]
    while "next" in forward[-1]:
        forward.append(await page(f'_cursor: "{forward[-1]["next"]}"'))
    offsets = [each["offset"] for each in forward]
    shown = [len(each["edges"]) for each in forward]
    assert sum(shown) == 7
    assert min(shown[:-1]) < 4
    assert offsets == [sum(shown[:number]) for number in range(len(shown))]
    backward = [forward[-1]]
    while "previous" in backward[-1]:
        backward.append(await page(f'_cursor: "{backward[-1]["previous"]}"'))
    assert [each["offset"] for each in backward] == offsets[::-1]
    assert [each["edges"] for each in backward] == [each["edges"] for each in forward[::-1]]
