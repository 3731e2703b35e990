"""The terminology operations over HTTP: at both levels, by GET and POST, on what comes along and on what is stored."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from fhir_server.engine.context import Services
from fhir_server.r4 import official as r4
from tests.attacks.callers import ask, resource_of, system_token
from tests.http.terminology.content import (
    ANIMALS,
    GENDER,
    GENDERS,
    Json,
    code_system,
    codes,
    is_member,
    outputs,
    store,
    value_set,
)

DOGS = value_set({"system": "urn:s", "filter": [{"property": "concept", "op": "is-a", "value": "dog"}]}, url="urn:dogs")


def parameters(**values: Any) -> Json:
    """Return Parameters; a dict is a resource, a list its value's type and itself."""
    parts = [
        {"name": name.replace("_", "-"), "resource": value}
        if isinstance(value, dict)
        else {"name": name.replace("_", "-"), f"value{value[0]}": value[1]}
        for name, value in values.items()
    ]
    return {"resourceType": "Parameters", "parameter": parts}


async def test_what_r4_defines_is_known(client: httpx.AsyncClient) -> None:
    """R4's own value sets and code systems answer without anything stored."""
    assert await codes(client, GENDERS) == ["male", "female", "other", "unknown"]
    assert (
        outputs(await client.get("CodeSystem/$lookup", params={"system": GENDER, "code": "male"}))["display"] == "Male"
    )
    assert await is_member(client, GENDERS, GENDER, "female")
    assert not await is_member(client, GENDERS, GENDER, "woman")
    translated = await client.get(
        "ConceptMap/$translate",
        params={"url": "http://hl7.org/fhir/ConceptMap/cm-administrative-gender-v3", "system": GENDER, "code": "male"},
    )
    assert outputs(translated)["result"] is True


async def test_systems_by_rule_are_known(client: httpx.AsyncClient) -> None:
    """UCUM, languages, countries, currencies and MIME types have no list, and are known."""
    form = {
        "http://unitsofmeasure.org": "mg/dL",
        "urn:ietf:bcp:47": "de-AT",
        "urn:iso:std:iso:3166": "AT",
        "urn:iso:std:iso:4217": "EUR",
        "urn:ietf:bcp:13": "text/plain",
    }
    for system, code in form.items():
        answer = await client.get("CodeSystem/$validate-code", params={"url": system, "code": code})
        assert outputs(answer)["result"] is True, system
    wrong = await client.get("CodeSystem/$validate-code", params={"url": "http://unitsofmeasure.org", "code": "mgg/q"})
    assert outputs(wrong)["result"] is False


async def test_stored_content_hides_what_r4_defines(client: httpx.AsyncClient) -> None:
    """A stored code system with a url of R4's is the one that counts, whatever its version, until it is deleted."""
    await store(client, code_system([{"code": "x"}], url=GENDER, version="1"), "g")
    assert await codes(client, GENDERS) == ["x"]
    await client.delete("CodeSystem/g")
    assert "male" in await codes(client, GENDERS)


@pytest.mark.parametrize("form", ["get", "post", "body"])
async def test_expand_at_both_levels(client: httpx.AsyncClient, form: str) -> None:
    """$expand finds a value set by url, by the id in the URL, or takes the resource itself."""
    await store(client, ANIMALS, "animals")
    await store(client, DOGS, "dogs")
    if form == "get":
        answers = [await client.get("ValueSet/$expand?url=urn:dogs"), await client.get("ValueSet/dogs/$expand")]
    elif form == "post":
        answers = [
            await client.post("ValueSet/$expand", json=parameters(url=("Uri", "urn:dogs"))),
            await client.post("ValueSet/dogs/$expand", json=parameters(count=("Integer", 10))),
        ]
    else:
        answers = [
            await client.post("ValueSet/$expand", json=DOGS),
            await client.post("ValueSet/$expand", json=parameters(valueSet=DOGS)),
        ]
    for answer in answers:
        (root,) = answer.json()["expansion"]["contains"]
        assert (root["code"], [each["code"] for each in root["contains"]]) == ("dog", ["beagle"])


async def test_pages_and_filters(client: httpx.AsyncClient) -> None:
    """`offset` and `count` cut the expansion, `filter` finds words in displays, and the total is that of all."""
    await store(client, ANIMALS, "animals")
    await store(client, value_set({"system": "urn:s"}), "all")
    assert await codes(client, "urn:v") == ["animal", "dog", "beagle", "cat", "stone"]
    assert await codes(client, "urn:v", offset=1, count=2) == ["dog", "beagle"]
    assert await codes(client, "urn:v", filter="bea") == ["beagle"]
    page = (await client.get("ValueSet/all/$expand?count=2&offset=4")).json()["expansion"]
    assert (page["total"], page["offset"], len(page["contains"])) == (5, 4, 1)


async def test_instances_of_code_systems(client: httpx.AsyncClient) -> None:
    """Operations on a CodeSystem's URL are about that resource."""
    await store(client, ANIMALS, "animals")
    answer = await client.get("CodeSystem/animals/$validate-code?code=dog")
    assert outputs(answer)["result"] is True
    assert outputs(await client.get("CodeSystem/animals/$subsumes?codeA=animal&codeB=beagle"))["outcome"] == "subsumes"
    assert (
        outputs(await client.get("CodeSystem/$subsumes?system=urn:s&codeA=cat&codeB=dog"))["outcome"] == "not-subsumed"
    )
    body = {
        "resourceType": "Parameters",
        "parameter": [
            {
                "name": "property",
                "part": [{"name": "code", "valueCode": "display"}, {"name": "value", "valueString": "Stone"}],
            }
        ],
    }
    (match,) = (await client.post("CodeSystem/animals/$find-matches", json=body)).json()["parameter"]
    assert match["part"][0]["valueCoding"]["code"] == "stone"
    twice = await client.get("CodeSystem/animals/$validate-code?code=dog&url=urn:s")
    assert twice.status_code == 400


async def test_translation_by_stored_maps(client: httpx.AsyncClient) -> None:
    """$translate finds a stored map by its url, by its systems, and by its id."""
    concept_map = {
        "resourceType": "ConceptMap",
        "url": "urn:m",
        "status": "active",
        "group": [
            {
                "source": "urn:s",
                "target": "urn:t",
                "element": [{"code": "dog", "target": [{"code": "hund", "equivalence": "equal"}]}],
            }
        ],
    }
    await store(client, concept_map, "m")
    for url in (
        "$translate?url=urn:m&",
        "$translate?targetsystem=urn:t&",
        "m/$translate?",
    ):
        answer = (await client.get(f"ConceptMap/{url}system=urn:s&code=dog")).json()["parameter"]
        (match,) = [each for each in answer if each["name"] == "match"]
        assert any(part.get("valueCoding", {}).get("code") == "hund" for part in match["part"])
    assert outputs(await client.get("ConceptMap/m/$translate?system=urn:s&code=cat"))["result"] is False


async def test_a_closure_table_grows(client: httpx.AsyncClient) -> None:
    """$closure tells what each addition adds, and everything since a version."""
    await store(client, ANIMALS, "animals")

    async def asked(*concepts: str, version: str | None = None, name: str = "t") -> httpx.Response:
        parts: list[Json] = [{"name": "name", "valueString": name}]
        parts += [{"name": "concept", "valueCoding": {"system": "urn:s", "code": code}} for code in concepts]
        parts += [{"name": "version", "valueString": version}] if version else []
        return await client.post("$closure", json={"resourceType": "Parameters", "parameter": parts})

    def pairs(answer: httpx.Response) -> set[tuple[str, str]]:
        assert answer.status_code == 200, answer.text
        listed = [each for group in answer.json().get("group", []) for each in group["element"]]
        return {(each["code"], target["code"]) for each in listed for target in each["target"]}

    assert (await asked("dog")).status_code == 404
    assert (await asked()).json()["version"] == "0"
    assert pairs(await asked("beagle", "stone")) == set()
    second = await asked("animal", "dog")
    assert pairs(second) == {("beagle", "animal"), ("beagle", "dog"), ("dog", "animal")}
    assert second.json()["version"] == "2"
    assert pairs(await asked("dog")) == set()
    assert pairs(await asked(version="1")) == pairs(second)
    assert pairs(await asked(version="2")) == set()
    assert (await asked("unheard-of")).status_code == 404
    assert (await asked(version="x")).status_code == 400
    assert (await client.get("$closure?name=t")).status_code == 405
    await asked()
    assert pairs(await asked("animal")) == set()


async def test_resources_sent_once(client: httpx.AsyncClient) -> None:
    """Under a `cache-id` a client refers to what it has sent before; without one, or under another, it is not there."""
    sent = parameters(tx_resource=ANIMALS, valueSet=DOGS, cache_id=("Id", "c"))
    assert (await client.post("ValueSet/$expand", json=sent)).status_code == 200
    requested = parameters(url=("Uri", "urn:dogs"), cache_id=("Id", "c"))
    assert (await client.post("ValueSet/$expand", json=requested)).json()["expansion"]["total"] == 2
    assert (await client.get("ValueSet/$expand?url=urn:dogs")).status_code == 404
    assert (await client.get("ValueSet/$expand?url=urn:dogs&cache-id=d")).status_code == 404


async def test_batches(client: httpx.AsyncClient) -> None:
    """$batch-validate-code answers each validation in its place, a faulty one by its outcome."""
    parts = [
        {
            "name": "validation",
            "resource": parameters(url=("Uri", GENDERS), code=("Code", code), system=("Uri", GENDER)),
        }
        for code in ("male", "x")
    ]
    parts.append({"name": "validation", "resource": parameters(url=("Uri", "urn:none"), code=("Code", "x"))})
    answer = await client.post("ValueSet/$batch-validate-code", json={"resourceType": "Parameters", "parameter": parts})
    first, second, third = (each["resource"] for each in answer.json()["parameter"])
    results = [next(part for part in each["parameter"] if part["name"] == "result") for each in (first, second)]
    assert [each["valueBoolean"] for each in results] == [True, False]
    assert third["resourceType"] == "OperationOutcome"


async def test_parameters_are_judged(client: httpx.AsyncClient) -> None:
    """What an operation does not have, cannot read or gets twice is refused by name."""
    refused = {
        "ValueSet/$expand?url=urn:v&nonsense=1": "nonsense",
        "ValueSet/$expand?url=urn:v&date=2020-01-01": "date",
        "ValueSet/$expand?url=urn:v&count=x": "count",
        "ValueSet/$expand?url=urn:v&count=-1": "count",
        "ValueSet/$expand?url=urn:v&activeOnly=maybe": "activeOnly",
        "ValueSet/$expand?url=urn:v&url=urn:w": "url",
        "ValueSet/$expand?url=urn:v&coding=x": "coding",
        "ValueSet/$expand": "url",
        "CodeSystem/$lookup?code=x": "system",
        "CodeSystem/$lookup?coding=x": "coding",
    }
    for url, name in refused.items():
        answer = await client.get(url)
        assert answer.status_code == 400, url
        assert name in answer.text, url
    assert (await client.get("CodeSystem/$lookup?system=urn:none&code=x")).status_code == 404


async def test_capabilities_tell_of_it(client: httpx.AsyncClient) -> None:
    """Both statements name what is served."""
    described = (await client.get("metadata?mode=terminology")).json()
    assert GENDER in {each["uri"] for each in described["codeSystem"]}
    assert {"tx-resource", "offset", "filter"} <= {each["name"] for each in described["expansion"]["parameter"]}
    statement = (await client.get("metadata")).json()
    named = {
        operation["name"]
        for each in statement["rest"][0]["resource"]
        if each["type"] in ("CodeSystem", "ValueSet", "ConceptMap")
        for operation in each["operation"]
    }
    assert {"expand", "lookup", "validate-code", "subsumes", "translate", "find-matches"} <= named
    assert outputs(await client.get("$versions"))["default"] == "4.0"


# --- Who may -----------------------------------------------------------------------------------------------------


async def test_who_may_not_read_a_type_uses_none_of_it(client: httpx.AsyncClient, services: Services) -> None:
    """Stored content that the caller's scopes do not show is not there; R4's own is nobody's secret."""
    await store(client, ANIMALS, "animals")
    await store(client, DOGS, "dogs")
    some, every = system_token("system/Observation.rs"), system_token("system/ValueSet.rs system/CodeSystem.rs")
    assert (await ask(services, every, "GET", "ValueSet/$expand?url=urn:dogs")).status == 200
    assert (await ask(services, some, "GET", "ValueSet/$expand?url=urn:dogs")).status == 404
    assert (await ask(services, some, "GET", "ValueSet/dogs/$expand")).status == 403
    assert (await ask(services, some, "GET", f"ValueSet/$expand?url={GENDERS}")).status == 200
    assert (await ask(services, some, "GET", "CodeSystem/$lookup?system=urn:s&code=dog")).status == 404
    halved = system_token("system/ValueSet.rs system/CodeSystem.rs?url=urn:other")
    assert (await ask(services, halved, "GET", "ValueSet/$expand?url=urn:dogs")).status == 404


async def test_tables_and_caches_are_their_clients(client: httpx.AsyncClient, services: Services) -> None:
    """Nobody sees another client's closure table, or what it has sent."""
    mine, name = system_token("system/*.rs"), parameters(name=("String", "t"))
    other = system_token("system/*.rs")
    other = type(other)("other", other.scopes, other.expires, other.issued)
    assert (await ask(services, mine, "POST", "$closure", name)).status == 200
    since = parameters(name=("String", "t"), version=("String", "0"))
    assert (await ask(services, mine, "POST", "$closure", since)).status == 200
    assert (await ask(services, other, "POST", "$closure", since)).status == 404
    sent = parameters(tx_resource=ANIMALS, valueSet=DOGS, cache_id=("Id", "c"))
    assert (await ask(services, mine, "POST", "ValueSet/$expand", sent)).status == 200
    requested = parameters(url=("Uri", "urn:dogs"), cache_id=("Id", "c"))
    assert resource_of(await ask(services, mine, "POST", "ValueSet/$expand", requested))["expansion"]["total"] == 2
    assert (await ask(services, other, "POST", "ValueSet/$expand", requested)).status == 404


# --- What cannot be answered -------------------------------------------------------------------------------------


def _below(code: str, parent: str) -> Json:
    return {"code": code, "property": [{"code": "parent", "valueCode": parent}]}


def _filtered(system: str, **filters: str) -> Json:
    return value_set({"system": system, "filter": [filters]})


BAD: dict[str, list[Json]] = {
    "a circle": [value_set({"valueSet": ["urn:w"]}), value_set({"valueSet": ["urn:v"]}, url="urn:w")],
    "itself": [value_set({"valueSet": ["urn:v"]})],
    "an unknown value set": [value_set({"valueSet": ["urn:nowhere"]})],
    "an unknown system": [value_set({"system": "urn:nowhere"})],
    "an unknown filter": [_filtered(GENDER, property="colour", op="=", value="red")],
    "a bad expression": [_filtered(GENDER, property="code", op="regex", value="(a")],
    "nothing": [{"resourceType": "ValueSet", "url": "urn:v", "status": "active"}],
    "a long chain": [value_set({"valueSet": [f"urn:v{n + 1}"]}, url=f"urn:v{n or ''}") for n in range(60)],
    "a circle of codes": [
        _filtered("urn:s", property="concept", op="is-a", value="a"),
        code_system([_below("a", "b"), _below("b", "a")]),
    ],
    "twice at each step": [
        *(value_set(*[{"valueSet": [f"urn:v{n + 1}"]}] * 2, url=f"urn:v{n or ''}") for n in range(40)),
        value_set({"system": GENDER}, url="urn:v40"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
async def test_bad_content_is_told(client: httpx.AsyncClient, kind: str) -> None:
    """A stored value set that cannot be expanded is told by an outcome with text, never by a fault of the server."""
    for number, resource in enumerate(BAD[kind]):
        await store(client, resource, f"r{number}")
    answers = [
        await client.get("ValueSet/$expand?url=urn:v"),
        await client.get("ValueSet/r0/$expand"),
        await client.get(f"ValueSet/$validate-code?url=urn:v&system={GENDER}&code=male"),
        await client.get("Patient?gender:in=urn:v"),
    ]
    for answer in answers:
        assert answer.status_code < 500, answer.text
        if answer.status_code >= 400:
            (issue, *_) = answer.json()["issue"]
            assert issue["diagnostics"]


@pytest.mark.parametrize(
    "resource",
    [
        {"resourceType": "ValueSet", "url": ["x"], "compose": 5},
        {"resourceType": "ValueSet", "compose": {"include": [5, {"system": ["x"]}, {"valueSet": "x"}]}},
        {"resourceType": "CodeSystem", "url": {"a": 1}, "concept": "x"},
        {"resourceType": "Parameters", "parameter": 5},
        {"resourceType": "Parameters", "parameter": [{"name": "url", "valueUri": 5}, 7]},
        {"resourceType": 5},
        {},
    ],
    ids=str,
)
async def test_odd_resources_in_requests(client: httpx.AsyncClient, resource: Json) -> None:
    """What comes with a request may have any form; it is refused, or passed over where it means nothing."""
    for path in ("ValueSet/$expand", "ValueSet/$validate-code", "CodeSystem/$lookup", "ConceptMap/$translate"):
        for name in ("tx-resource", "valueSet", "conceptMap", "profile"):
            body = {
                "resourceType": "Parameters",
                "parameter": [
                    {"name": name, "resource": resource},
                    {"name": "url", "valueUri": "urn:v"},
                    {"name": "cache-id", "valueId": "c"},
                ],
            }
            answer = await client.post(path, json=body)
            assert answer.status_code < 500, (path, name, answer.text)
    body = {"resourceType": "Parameters", "parameter": [{"name": "validation", "resource": resource}]}
    assert (await client.post("ValueSet/$batch-validate-code", json=body)).status_code < 500


async def test_value_sets_of_r4_answer(client: httpx.AsyncClient) -> None:
    """A page of each of R4's value sets comes, or an outcome: most that do not expand are of LOINC or SNOMED CT."""
    statuses: list[int] = []
    for url in list(r4.official_urls("ValueSet"))[::7]:
        answer = await client.get("ValueSet/$expand", params={"url": url, "count": 5})
        assert answer.status_code in (200, 404, 422), (url, answer.text)
        statuses.append(answer.status_code)
    assert statuses.count(200) > 0.85 * len(statuses)
