"""Bulk imports over HTTP: kick-off, progress, report, and that each line is stored once."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.engine.bulk_import.sources import _is_below, lines_of
from fhir_server.engine.bulk_import.steps import carry_out
from fhir_server.engine.context import Context, Request, Response, Services
from fhir_server.engine.loading.loading import Refused, load_into
from fhir_server.engine.loading.transactions import Transactions
from fhir_server.settings import Settings
from fhir_server.store.work.bulk_imports import BulkImport, ImportPart, Overtaken, part_id

ASYNC = {"Prefer": "respond-async"}
SYSTEM = "http://hospital.test/mrn"


@dataclass(slots=True)
class Source:
    """A server of files."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    faults: int = 0
    """How many requests are answered 503 first."""
    redirect: str = ""


@pytest.fixture
def source() -> Iterator[Source]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if made.redirect:
                self.send_response(302)
                self.send_header("Location", made.redirect)
                self.end_headers()
            elif made.faults or self.path not in made.files:
                made.faults -= made.faults > 0
                self.send_error(503 if self.path in made.files else 404)
            else:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(made.files[self.path])

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Source(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield made
    server.shutdown()


@pytest.fixture
def settings(source: Source, settings: Settings) -> Settings:
    return settings.model_copy(update={"import_sources": f"{source.url}/out", "allow_internal_urls": True})


def parameters(*urls: str, kind: str | None = None, **more: str) -> dict[str, Any]:
    named = [{"name": "type", "valueCode": kind}] if kind else []
    inputs = [{"name": "input", "part": [*named, {"name": "url", "valueUrl": url}]} for url in urls]
    return {
        "resourceType": "Parameters",
        "parameter": [*inputs, *({"name": name, "valueCode": value} for name, value in more.items())],
    }


async def silent(work: BulkImport, request: Request, response: Response) -> None:
    """Tell nobody."""


async def kick_off(client: httpx.AsyncClient, body: dict[str, Any]) -> str:
    answer = await client.post("$import", json=body, headers=ASYNC)
    assert answer.status_code == 202, answer.text
    return answer.headers["content-location"]


async def run(services: Services) -> None:
    for work in await services.stores.bulk_imports.unfinished():
        await carry_out(services, work, silent)


async def imported(client: httpx.AsyncClient, services: Services, body: dict[str, Any]) -> dict[str, Any]:
    status = await kick_off(client, body)
    waiting = await client.get(status)
    assert (waiting.status_code, waiting.headers["x-progress"][:4]) == (202, "0 of")
    await run(services)
    answer = await client.get(status)
    assert answer.status_code == 200, answer.text
    report: dict[str, Any] = answer.json()
    return report


async def refusals(client: httpx.AsyncClient, report: dict[str, Any]) -> list[str]:
    told = []
    for file in report["error"]:
        answer = await client.get(file["url"])
        assert answer.headers["content-type"] == "application/fhir+ndjson"
        outcomes = [json.loads(line) for line in answer.text.splitlines()]
        assert len(outcomes) == file["count"]
        told += [outcome["issue"][0]["diagnostics"] for outcome in outcomes]
    return told


def patient(name: str, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": name, **more}


def identified(value: str, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "identifier": [{"system": SYSTEM, "value": value}], **more}


def ndjson(*lines: dict[str, Any] | bytes) -> bytes:
    return b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)


async def test_lines_are_stored_and_the_refused_are_reported(
    client: httpx.AsyncClient, services: Services, source: Source
) -> None:
    """By id, new or changed; each refusal names its line, and holds nothing else up."""
    await client.put("Patient/a", json=patient("a"))
    source.files["/out/p"] = ndjson(
        patient("a", active=True),
        b"",
        b"{no json",
        patient("b", gender="none"),
        {"resourceType": "Group"},
        patient("c"),
    )
    report = await imported(client, services, parameters(f"{source.url}/out/p", kind="Patient"))
    assert report["output"] == [{"type": "Patient", "inputUrl": f"{source.url}/out/p", "count": 2}]
    told = await refusals(client, report)
    assert sorted(text.partition(":")[0] for text in told) == ["line 3", "line 4", "line 5"]
    assert any("of Patient, the line of Group" in text for text in told)
    assert (await client.get("Patient/a")).json()["active"] is True
    assert (await client.get("Patient/a")).json()["meta"]["versionId"] == "2"
    assert (await client.get("Patient/b")).status_code == 404
    assert (await client.get("Patient/c")).status_code == 200


async def test_lines_may_be_a_binary_of_this_server(client: httpx.AsyncClient, services: Services) -> None:
    """Where no source is allowed, the lines are uploaded first."""
    body = gzip.compress(ndjson(patient("a"))) + gzip.compress(ndjson(patient("b")))  # two files, one after another
    headers = {"Content-Type": "application/gzip"}
    location = (await client.post("Binary", content=body, headers=headers)).headers["location"]
    url = location.partition("/fhir/")[2].partition("/_history")[0]
    report = await imported(client, services, parameters(url))
    assert [(each["type"], each["count"]) for each in report["output"]] == [("Patient", 2)]
    assert report["error"] == []


async def test_resources_are_matched_by_their_identifiers(
    client: httpx.AsyncClient, services: Services, source: Source
) -> None:
    """The ids of another system are not this server's, and a second import changes what the first has made."""
    for active in (False, True):
        source.files["/out/p"] = ndjson(identified("a|b", id="7", active=active), patient("x"))
        report = await imported(client, services, parameters(f"{source.url}/out/p", mode="by-identifier"))
        assert report["output"][0]["count"] == 1
        assert "no identifier" in (await refusals(client, report))[0]
    (entry,) = (await client.get("Patient")).json()["entry"]
    assert entry["resource"]["active"] is True
    assert entry["resource"]["id"] != "7"


async def test_what_waits_for_later_lines_is_tried_again(
    client: httpx.AsyncClient, services: Services, source: Source
) -> None:
    """A conditional reference finds what a later input holds; what finds nothing is refused in the end."""
    observation = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}
    subjects = [{"reference": f"Patient?identifier={SYSTEM}|{value}"} for value in ("1", "2")]
    source.files["/out/o"] = ndjson(*({**observation, "subject": subject} for subject in subjects))
    source.files["/out/p"] = ndjson(identified("1"))
    report = await imported(client, services, parameters(f"{source.url}/out/o", f"{source.url}/out/p"))
    assert {each["type"]: each["count"] for each in report["output"]} == {"Observation": 1, "Patient": 1}
    assert len(await refusals(client, report)) == 1


async def test_what_is_broken_off_is_stored_once(client: httpx.AsyncClient, services: Services, source: Source) -> None:
    """An import that ends after a transaction goes on behind it: lines without ids make no doubles, and all count."""
    lines = [{"resourceType": "Basic", "code": {"text": str(number)}} for number in range(450)]
    source.files["/out/b"] = ndjson(*lines[:50], {"resourceType": "Basic"}, *lines[50:])

    async def broken(work: BulkImport, request: Request, response: Response) -> None:
        raise KeyboardInterrupt  # as when the process ends here: nothing catches it

    status = await kick_off(client, parameters(f"{source.url}/out/b"))
    for _ in range(3):
        for work in await services.stores.bulk_imports.unfinished():
            with pytest.raises(KeyboardInterrupt):
                await carry_out(services, work, broken)
    await run(services)
    report = (await client.get(status)).json()
    assert report["output"][0]["count"] == 450
    assert [text.partition(":")[0] for text in await refusals(client, report)] == ["line 51"]
    assert (await client.get("Basic?_summary=count")).json()["total"] == 450


async def test_two_workers_never_store_the_same_lines(client: httpx.AsyncClient, services: Services) -> None:
    """The second to store them stores nothing."""
    await client.put("Basic/first", json={"resourceType": "Basic", "id": "first", "code": {"text": "x"}})
    target = Transactions(Context(services, "http://server.test/fhir"), services.stores.bulk_imports.record)
    entry = {
        "resource": {"resourceType": "Basic", "code": {"text": "x"}},
        "request": {"method": "POST", "url": "Basic"},
    }
    await services.stores.bulk_imports.record(["format 1"], None)
    await target.transaction([entry, entry], ["work.0.0/0"])
    for entries in ([entry, entry], [entry]):
        with pytest.raises(Overtaken):
            await target.transaction(entries, ["work.0.0/0"])
    with pytest.raises(Refused):
        await target.transaction([{**entry, "resource": {"resourceType": "Basic"}}], ["work.0.0/1"])
    assert (await client.get("Basic?_summary=count")).json()["total"] == 3


async def test_a_source_is_asked_again_and_one_that_is_gone_is_reported(
    client: httpx.AsyncClient, services: Services, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be read, or not whole, is one refusal; the other inputs are stored."""
    monkeypatch.setattr("fhir_server.engine.bulk_import.steps._PAUSES", (0.0, 0.0))
    source.files |= {"/out/a": ndjson(patient("a")), "/out/cut": gzip.compress(ndjson(patient("b")))[:-9]}
    source.faults = 2
    urls = [f"{source.url}/out/{name}" for name in ("a", "none", "cut")]
    report = await imported(client, services, parameters(*urls, "Binary/none"))
    assert [each["inputUrl"] for each in report["output"]] == urls[:1]
    assert [each["inputUrl"] for each in report["error"]] == [*urls[1:], "Binary/none"]
    assert (await client.get("Patient/b")).status_code == 404


async def test_an_import_is_ended_and_its_report_removed(
    client: httpx.AsyncClient, services: Services, source: Source
) -> None:
    """DELETE ends one that is under way, and removes the report of one that is done."""
    source.files["/out/p"] = ndjson(patient("a"))
    for carried_out in (False, True):
        status = await kick_off(client, parameters(f"{source.url}/out/p"))
        if carried_out:
            await run(services)
        assert (await client.delete(status)).status_code == 202
        assert (await client.get(status)).status_code == 404
    assert await services.stores.bulk_imports.unfinished() == []


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"resourceType": "Patient"}, "resourceType"),
        ({"resourceType": "Parameters"}, "Parameters.parameter"),
        (parameters("Binary/a", mode="other"), "Parameters.parameter[1]"),
        (parameters("Binary/a", inputFormat="text/csv"), "Parameters.parameter[1]"),
        (parameters("Binary/a", what="x"), "Parameters.parameter[1]"),
        (parameters("Binary/a", kind="Person2"), "Parameters.parameter[0].part[0]"),
        (parameters("https://elsewhere.test/out/p"), "Parameters.parameter[0].part[0]"),
        ({"resourceType": "Parameters", "parameter": [{"name": "input"}]}, None),
        ({"resourceType": "Parameters", "parameter": [{"valueCode": "x"}]}, None),
    ],
)
async def test_what_cannot_be_asked_for_is_refused(
    client: httpx.AsyncClient, services: Services, body: dict[str, Any], place: str | None
) -> None:
    """With the place, and before anything is fetched."""
    answer = await client.post("$import", json=body, headers=ASYNC)
    assert answer.status_code == 400, answer.text
    if place is not None:
        assert answer.json()["issue"][0]["expression"] == [place]
    assert await services.stores.bulk_imports.unfinished() == []


async def test_it_is_answered_later_alone(client: httpx.AsyncClient) -> None:
    """Without Prefer: respond-async it is refused."""
    assert (await client.post("$import", json=parameters("Binary/a"))).status_code == 400


@pytest.mark.parametrize(
    ("url", "below"),
    [
        ("https://bulk.test/out/a.ndjson", True),
        ("https://bulk.test:443/out/a/b?x=1", True),
        ("https://bulk.test/out/../secret", False),
        ("https://bulk.test/out/%2e%2e/secret", False),
        ("https://bulk.test/out/..", False),
        ("https://bulk.test/out//../x", False),
        ("https://bulk.test/out\\..\\x", False),
        ("https://bulk.test/outside", False),
        ("https://bulk.test:8443/out/a", False),
        ("http://bulk.test/out/a", False),
        ("https://bulk.test@evil.test/out/a", False),
        ("https://a@bulk.test/out/a", False),
        ("https://bulk.test.evil.test/out/a", False),
        ("https://bulk.test:x/out/a", False),
        ("file:///out/a", False),
        ("https://[::1/out/a", False),
    ],
)
def test_only_what_lies_below_an_allowed_source_is_fetched(url: str, below: bool) -> None:
    """Whatever form an address has."""
    assert _is_below(url, "https://bulk.test/out/") is below


@given(st.lists(st.binary(max_size=30).filter(lambda line: b"\n" not in line)), st.integers(1, 40))
async def test_lines_are_cut_alike_however_they_arrive(lines: list[bytes], size: int) -> None:
    """Pieces of any size give the lines; one that is too long is told as such, and takes no other with it."""
    data = b"".join(line + b"\n" for line in lines)

    async def pieces() -> Any:
        for start in range(0, len(data), size):
            yield data[start : start + size]

    assert [line async for line in lines_of(pieces(), 20, 10_000)] == [
        line if len(line) <= 20 else None for line in lines
    ]


@pytest.mark.parametrize(("failures", "code"), [(1, 200), (100, 500)])
async def test_a_fault_of_the_server_s_own_ends_an_import_after_some_tries(
    client: httpx.AsyncClient,
    services: Services,
    source: Source,
    monkeypatch: pytest.MonkeyPatch,
    failures: int,
    code: int,
) -> None:
    """It is not tried for ever, and says so; one that passes is got over."""
    source.files["/out/p"] = ndjson(patient("a"))
    outcomes = iter([True] * failures + [False] * 10)

    async def faulty(*arguments: Any) -> Any:
        if next(outcomes):
            raise ZeroDivisionError
        return await load_into(*arguments)

    monkeypatch.setattr("fhir_server.engine.bulk_import.steps.load_into", faulty)
    status = await kick_off(client, parameters(f"{source.url}/out/p"))
    await run(services)
    assert (await client.get(status)).status_code == code
    assert await services.stores.bulk_imports.unfinished() == []


async def test_what_is_left_of_an_import_that_was_removed_is_cleared_away(
    client: httpx.AsyncClient, services: Services
) -> None:
    """Parts without an import go, those of one that is under way stay."""
    store = services.stores.bulk_imports
    await kick_off(client, parameters("Binary/a"))
    (work,) = await store.unfinished()
    await store.add_parts(
        ImportPart(id=part_id(name, 0, part), work=name, input=0, number=part, first_line=1, data=b"x")
        for name in ("a-removed", work.id, "z-removed")
        for part in range(2)
    )
    await store.clear()
    parts = services.database.collection("server_bulk_import_parts")
    assert {part["work"] async for part in parts.find({})} == {work.id}
