"""Every request has a budget: what asks for more is refused, and the refusal says which limit it passes."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import threading
import time
from typing import Any

import httpx
import pytest

from fhir_server.auth.permission.scopes import parse_scope
from fhir_server.engine.interactions import conditional
from fhir_server.errors import TooManyRequests
from fhir_server.settings import Settings
from fhir_server.work.budget import Budget, OutOfBudget, counted, spend, together, working
from fhir_server.work.threads import apart, breathe
from tests.smart_server import SmartServer

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
PATCH = {"Content-Type": "application/json-patch+json"}


@pytest.fixture
def settings() -> Settings:
    """Limits that small inputs pass."""
    return Settings(max_body_values=2000, max_bundle_values=5000, max_answer_bytes=1_000_000, max_parameters=100)


def _refused(answer: httpx.Response, word: str) -> None:
    """Hold that an answer refuses what is too much and names the limit."""
    assert answer.status_code in (413, 422, 429), answer.text
    assert any(word in issue["diagnostics"] for issue in answer.json()["issue"]), answer.text


BODIES = {
    "empty objects": '{"resourceType":"DocumentReference","content":[' + "{}," * 3000 + "{}]}",
    "numbers": '{"resourceType":"DocumentReference","content":[' + "1," * 3000 + "1]}",
    "nested arrays": '{"resourceType":"Patient","x":' + "[" * 3000,
    "properties": '{"resourceType":"Patient"' + "".join(f',"a{at}":1' for at in range(3000)) + "}",
    "names": '{"resourceType":"Patient","name":[' + ",".join(['{"family":"a"}'] * 2000) + "]}",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("compressed", [False, True])
async def test_a_body_has_so_many_values(client: httpx.AsyncClient, body: str, compressed: bool) -> None:
    """They are counted before the body is parsed, compressed or not."""
    sent = gzip.compress(body.encode()) if compressed else body.encode()
    headers = {"Content-Encoding": "gzip"} if compressed else {}
    _refused(await client.post("Patient", content=sent, headers=headers), "max_body_values")


async def test_xml_has_so_many_elements(client: httpx.AsyncClient) -> None:
    """An element of XML is a value."""
    body = "<Patient xmlns='http://hl7.org/fhir'>" + "<name><family value='a'/></name>" * 3000 + "</Patient>"
    answer = await client.post("Patient", content=body, headers={"Content-Type": "application/fhir+xml"})
    assert answer.status_code == 413
    assert "max_body_values" in answer.text


async def test_a_bundle_has_so_many_values(client: httpx.AsyncClient) -> None:
    """A batch or transaction may have more than a resource, and has a limit, too."""
    entry = {"resource": json.loads(BODIES["names"]), "request": {"method": "POST", "url": "Patient"}}
    bundle: dict[str, Any] = {"resourceType": "Bundle", "type": "batch", "entry": [entry]}
    assert (await client.post("", content=json.dumps(bundle))).status_code == 200
    bundle["entry"] = [entry] * 2
    _refused(await client.post("", content=json.dumps(bundle)), "max_bundle_values")


@pytest.mark.parametrize("where", ["form", "url"])
async def test_a_request_has_so_many_parameters(client: httpx.AsyncClient, where: str) -> None:
    """In the URL and in a form alike."""
    query = "&".join(["name=a"] * 101)
    if where == "form":
        answer = await client.post("Patient/_search", content=query, headers=FORM)
    else:
        answer = await client.get(f"Patient?{query}")
    _refused(answer, "max_parameters")


SEARCHES = {
    "Basic?subject.subject.subject.subject.subject._id=x": "conditions",
    "Patient?_has:Basic:subject:subject.subject.subject._id=x": "conditions",
    "Basic?_filter=subject.subject.subject._id eq x or subject.subject.subject._id eq y": "conditions",
    "Patient?name=" + ",".join(f"n{at}" for at in range(600)): "values",
    "Observation?code-value-quantity=" + ",".join(f"a$gt{at}" for at in range(600)): "values",
    "Observation?date=" + ",".join(f"2024-01-01T00:{at // 60:02}:{at % 60:02}Z" for at in range(600)): "values",
    "Patient?_elements=" + ",".join(f"e{at}" for at in range(1001)): "elements",
    "Patient?_sort=" + ",".join([*(f"identifier:x{at}" for at in range(11))]): "_sort",
    "Patient?_text=" + " ".join(f"w{at}" for at in range(200)): "words",
}


@pytest.mark.parametrize("search", SEARCHES, ids=range(len(SEARCHES)))
async def test_a_search_asks_for_so_much(client: httpx.AsyncClient, search: str) -> None:
    """Each way to make one search into many has its limit, in the URL and in a form."""
    _refused(await client.get(search), SEARCHES[search])
    path, _, query = search.partition("?")
    form = httpx.QueryParams(query)
    answer = await client.post(f"{path}/_search", content=str(form), headers=FORM)
    _refused(answer, SEARCHES[search])


async def test_a_patch_has_so_many_operations(client: httpx.AsyncClient, services: Any) -> None:
    """Operations that change nothing cost, too; nothing is changed."""
    services.settings.max_body_values = 1_000_000
    await client.put("Patient/p", content='{"resourceType":"Patient","id":"p"}')
    test = {"op": "test", "path": "/id", "value": "p"}
    _refused(await client.patch("Patient/p", content=json.dumps([test] * 10_001), headers=PATCH), "operations")
    assert (await client.get("Patient/p")).json()["meta"]["versionId"] == "1"


async def test_an_answer_has_a_size(client: httpx.AsyncClient) -> None:
    """What small requests multiply, entries of a batch and aliases of GraphQL, ends at a limit."""
    div = f"<div xmlns='http://www.w3.org/1999/xhtml'>{'x' * 300_000}</div>"
    text = {"status": "generated", "div": div}
    await client.put("Patient/p", content=json.dumps({"resourceType": "Patient", "id": "p", "text": text}))
    entries = [{"request": {"method": "GET", "url": "Patient/p"}}] * 8
    batch = {"resourceType": "Bundle", "type": "batch", "entry": entries}
    answered = (await client.post("", content=json.dumps(batch))).json()["entry"]
    assert answered[0]["response"]["status"] == "200 OK"
    assert answered[-1]["response"]["status"].startswith("413")
    statement = "{" + " ".join(f"a{at}:text{{div}}" for at in range(8)) + "}"
    answer = await client.get("Patient/p/$graphql", params={"query": statement})
    assert answer.status_code == 413
    assert "max_answer_bytes" in answer.text


EXPRESSIONS = [
    "%resource.descendants().select(%resource.descendants().select(%resource.descendants())).exists()",
    "(" + "|".join(["%resource.descendants()"] * 90) + ").select(%resource.descendants()).exists()",
    "%resource.descendants().combine(%resource.descendants()).repeat(%resource.descendants()).exists()",
    "'" + "x" * 1000 + "'" + ".select($this & $this)" * 9 + ".toChars().select($this.toChars()).exists()",
]


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=range(len(EXPRESSIONS)))
async def test_an_expression_takes_so_many_steps(client: httpx.AsyncClient, expression: str) -> None:
    """Products of collections, repetition and strings that grow are counted while they are evaluated."""
    names = [{"family": f"F{at}"} for at in range(300)]
    await client.put("Patient/p", content=json.dumps({"resourceType": "Patient", "id": "p", "name": names}))
    statement = f"{{name(fhirpath:{json.dumps(expression)}){{family}}}}"
    answer = await client.post("Patient/p/$graphql", json={"query": statement})
    assert answer.status_code in (413, 422), answer.text
    assert "too costly" in answer.text or "max_request_seconds" in answer.text


@pytest.mark.parametrize("number", ["1e9999999999999999999", "1E-9999999999999999999", "9" * 5000, "0." + "1" * 5000])
async def test_no_number_is_a_fault_of_the_server(client: httpx.AsyncClient, number: str) -> None:
    """A number that no decimal can hold is refused, in a body, in XML and in a search."""
    body = (
        '{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":' + number + "}}"
    )
    assert (await client.post("Observation", content=body)).status_code in (400, 422)
    xml = (
        "<Observation xmlns='http://hl7.org/fhir'><status value='final'/><code><text value='x'/></code>"
        f"<valueQuantity><value value='{number}'/></valueQuantity></Observation>"
    )
    answer = await client.post("Observation", content=xml, headers={"Content-Type": "application/fhir+xml"})
    assert answer.status_code in (400, 422)
    assert (await client.get(f"Observation?value-quantity={number}")).status_code < 500


async def test_control_characters_are_refused(client: httpx.AsyncClient) -> None:
    """A code is one line; what was stored before with another is read nevertheless."""
    binary = {"resourceType": "Binary", "contentType": "text/plain\nX: y", "data": "YQ=="}
    assert (await client.post("Binary", content=json.dumps(binary))).status_code == 422
    assert (await client.get("metadata")).headers["x-content-type-options"] == "nosniff"


# --- The budget itself -------------------------------------------------------------------------------------------


def test_steps_end() -> None:
    """Who takes more steps than the seconds stand for is stopped, whatever the clock says."""
    with working(Budget(0.001)), pytest.raises(OutOfBudget, match="max_request_seconds"):
        spend(10_000)


async def test_processor_time_ends_in_a_thread() -> None:
    """Work that counts its steps is stopped when its time is over."""

    def work() -> None:
        ends = time.thread_time() + 0.05
        while time.thread_time() < ends:
            pass
        for _ in range(1000):
            spend()

    with working(Budget(0.02)), pytest.raises(OutOfBudget):
        await apart(work)


async def test_a_caller_works_on_one_request_at_a_time() -> None:
    """Who sends many waits for oneself, has so many waiting, and holds up nobody else."""
    begun, go = threading.Event(), threading.Event()

    def block() -> str:
        begun.set()
        assert go.wait(60)
        return "done"

    async def asked(caller: str, work: Any) -> str:
        with working(Budget(60, caller=caller, most_waiting=1)):
            return str(await apart(work))

    first = asyncio.create_task(asked("many", block))
    await asyncio.to_thread(begun.wait, 60)
    second = asyncio.create_task(asked("many", lambda: "second"))
    await asyncio.sleep(0)
    with pytest.raises(TooManyRequests, match="max_waiting_requests"):
        await asked("many", lambda: "third")
    assert await asked("other", lambda: "other") == "other"
    assert not second.done()
    go.set()
    assert (await first, await second) == ("done", "second")


async def test_a_cancelled_request_leaves_its_place() -> None:
    """The next one has its turn."""
    go = threading.Event()

    async def asked(work: Any) -> Any:
        with working(Budget(60, caller="x")):
            return await apart(work)

    first = asyncio.create_task(asked(lambda: go.wait(60)))
    second = asyncio.create_task(asked(lambda: 2))
    third = asyncio.create_task(asked(lambda: 3))
    await asyncio.sleep(0)
    second.cancel()
    first.cancel()
    go.set()
    assert await third == 3


async def test_slices_let_others_in() -> None:
    """Who breathes gives way when a slice is over, and a budget counts its steps on the loop."""
    budget, seen = Budget(60), []

    async def long() -> None:
        for at in range(3):
            ends = time.perf_counter() + 0.01
            while time.perf_counter() < ends:
                pass
            await breathe()
            seen.append(at)

    async def other() -> None:
        seen.append("other")

    with working(budget):
        await asyncio.gather(counted(long(), budget), other())
    assert seen.index("other") < seen.index(2)


# --- Conformance resources ---------------------------------------------------------------------------------------


def test_a_wildcard_does_not_write_conformance_resources() -> None:
    """Who may write all records may not therefore change how the server works; who may read all reads them."""
    wide, named = parse_scope("system/*.cruds"), parse_scope("system/SearchParameter.cruds")
    assert wide is not None
    assert named is not None
    assert not any(wide.covers(permission, "SearchParameter") for permission in "cud")
    assert all(wide.covers(permission, "SearchParameter") for permission in "rs")
    assert all(wide.covers(permission, "Observation") for permission in "cruds")
    assert all(named.covers(permission, "SearchParameter") for permission in "cruds")


async def test_a_search_parameter_needs_its_scope(smart: SmartServer) -> None:
    """The server refuses it under a wildcard."""
    wide = smart.fhir(await smart.system_token("system/*.cruds"))
    body = {"resourceType": "ValueSet", "status": "draft"}
    assert (await wide.post("ValueSet", json=body)).status_code == 403
    named = smart.fhir(await smart.system_token("system/ValueSet.cruds"))
    assert (await named.post("ValueSet", json=body)).status_code == 201


async def test_the_clients_that_share_a_token_wait_for_one_another(client: httpx.AsyncClient) -> None:
    """A hundred bodies of one caller, each too large to be dealt with at once, are all stored, and none is refused."""
    text = "x" * (48 * 1024)
    note = {"resourceType": "Basic", "code": {"text": text}}
    answers = await asyncio.gather(*(client.post("Basic", json=note) for _ in range(100)))
    assert {answer.status_code for answer in answers} == {201}


async def test_tasks_that_a_request_awaits_together_are_counted() -> None:
    """What is done at once in several tasks costs the request as much as one after another."""
    budget = Budget(0.02)

    async def busy() -> None:
        until = time.thread_time() + 0.02
        while time.thread_time() < until:
            pass

    async def request() -> None:
        await together(busy(), busy())
        spend(1000)

    with working(budget), pytest.raises(OutOfBudget, match="max_request_seconds"):
        await counted(request(), budget)


CHAIN = "subject.subject._id=x"
SHORT_CHAIN = "subject:Patient.name=x"


async def test_a_batch_ends_at_its_budget(client: httpx.AsyncClient, services: Any) -> None:
    """Its entries share the request's time: those past it are refused and name the limit, those before stand."""
    assert (await client.put("Patient/1", json={"resourceType": "Patient", "id": "1"})).status_code == 201
    services.settings = services.settings.model_copy(update={"max_request_seconds": 0.05})
    first = {"resource": {"resourceType": "Patient", "id": "2"}, "request": {"method": "PUT", "url": "Patient/2"}}
    searches = [{"request": {"method": "GET", "url": f"Basic?{CHAIN}{at}"}} for at in range(200)]
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": [first, *searches]}
    answer = await client.post("", json=bundle)
    assert answer.status_code == 200, answer.text
    body = [entry["response"] for entry in answer.json()["entry"]]
    statuses = [each["status"][:3] for each in body]
    assert statuses[0] == "201"
    assert "422" in statuses
    refused = statuses.index("422")
    assert set(statuses[refused:]) == {"422"}
    assert all("max_request_seconds" in each["outcome"]["issue"][0]["diagnostics"] for each in body[refused:])
    assert (await client.get("Patient/2")).status_code == 200


@pytest.mark.parametrize(
    "requested",
    [
        ("POST", "Basic", {"If-None-Exist": SHORT_CHAIN}),
        ("PUT", f"Basic?{SHORT_CHAIN}", {}),
        ("DELETE", f"Basic?{SHORT_CHAIN}", {}),
        ("PATCH", f"Basic?{SHORT_CHAIN}", PATCH),
    ],
    ids=lambda asked: asked[0],
)
@pytest.mark.parametrize("bundled", [False, True])
async def test_criteria_are_understood_in_a_thread(
    client: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
    requested: tuple[str, str, dict[str, str]],
    bundled: bool,
) -> None:
    """A chain multiplies by the types it leads to: in the criteria of a write as in a search, others do not wait."""
    threads: dict[str, set[threading.Thread]] = {"parse": set(), "compile_query": set()}
    for name, seen in threads.items():
        original = getattr(conditional, name)

        def recorded(*arguments: Any, seen: Any = seen, original: Any = original, **named: Any) -> Any:
            seen.add(threading.current_thread())
            return original(*arguments, **named)

        monkeypatch.setattr(conditional, name, recorded)
    method, url, headers = requested
    body: Any = {"resourceType": "Basic", "code": {"text": "x"}}
    if method == "PATCH":
        body = [{"op": "add", "path": "/language", "value": "en"}]
    if bundled:
        entry: dict[str, Any] = {"request": {"method": method, "url": url}}
        if "If-None-Exist" in headers:
            entry["request"]["ifNoneExist"] = headers["If-None-Exist"]
        if method == "PATCH":
            data = base64.b64encode(json.dumps(body).encode()).decode()
            entry["resource"] = {
                "resourceType": "Binary",
                "contentType": "application/json-patch+json",
                "data": data,
            }
        elif method != "DELETE":
            entry["resource"] = body
        await client.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": [entry]})
    else:
        sent = None if method == "DELETE" else json.dumps(body)
        await client.request(method, url, content=sent, headers=headers)
    assert all(threads.values()), threads
    assert threading.main_thread() not in threads["parse"] | threads["compile_query"]
