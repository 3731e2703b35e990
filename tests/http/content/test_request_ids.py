"""Each request has an id: in the answer, in what the answer tells of a fault, in the audit trail and in the log."""

from __future__ import annotations

import json
import re

import pytest
import structlog

from fhir_server.http import log
from fhir_server.settings import Settings
from fhir_server.work.request_id import RequestId, current
from tests.smart_server import SmartServer

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
PATHS = [
    "/fhir/metadata",
    "/fhir/Patient/1",
    "/booking/clinics",
    "/health/live",
    "/oauth/login",
    "/nothing",
    "/user/profile",
]
SANE = ["abc-1", "7b1f0a52-1d0e-4f0a-9d8e-3a1c", "Root=1-67891233-abcdef", "a" * 128, "A:b/c+d_e.f"]
INSANE = ["", "a" * 129, "two words", "a@b.example", "-a", 'a"b', "a\tb", "\xe4", "a;b", "<b>"]


@pytest.mark.parametrize("path", PATHS)
async def test_each_answer_has_an_id_of_its_own(smart: SmartServer, path: str) -> None:
    """Whatever is asked and however it ends, the answer names its request, and no two are called the same."""
    answers = [await smart.http.get(path) for _ in range(2)]
    ids = [answer.headers["X-Request-Id"] for answer in answers]
    assert all(UUID.fullmatch(each) for each in ids)
    assert len(set(ids)) == 2


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("values", [SANE[0], SANE[2]])
async def test_a_sane_id_of_the_caller_is_taken(smart: SmartServer, path: str, values: str) -> None:
    """The caller's id comes back, once."""
    answer = await smart.http.get(path, headers={"X-Request-Id": values})
    assert answer.headers.get_list("X-Request-Id") == [values]


@pytest.mark.parametrize("values", SANE)
async def test_what_is_sane(smart: SmartServer, values: str) -> None:
    """Letters, digits and the marks of usual ids, up to 128 of them."""
    answer = await smart.http.get("/fhir/metadata", headers={"X-Request-Id": values})
    assert answer.headers["X-Request-Id"] == values


@pytest.mark.parametrize("values", INSANE)
async def test_another_id_is_replaced(smart: SmartServer, values: str) -> None:
    """What could be a name, a line of its own or too long for a log is nobody's id."""
    answer = await smart.http.get("/fhir/Patient/1", headers=[(b"X-Request-Id", values.encode("latin-1"))])
    assert UUID.fullmatch(answer.headers["X-Request-Id"])
    assert not values or values not in answer.text


async def test_two_ids_are_none(smart: SmartServer) -> None:
    """Of two ids neither is the request's."""
    answer = await smart.http.get("/fhir/metadata", headers=[("X-Request-Id", "a"), ("X-Request-Id", "b")])
    assert UUID.fullmatch(answer.headers["X-Request-Id"])


async def test_an_outcome_and_a_problem_name_the_request(smart: SmartServer) -> None:
    """Who reads the body alone can tell of the request; in XML, too."""
    outcome = await smart.http.get("/fhir/Patient/1", headers={"X-Request-Id": "abc-1"})
    assert outcome.json()["extension"] == [{"url": "urn:fhir-server:request-id", "valueString": "abc-1"}]
    written = await smart.http.get("/fhir/Patient/1?_format=xml", headers={"X-Request-Id": "abc-1"})
    assert '<extension url="urn:fhir-server:request-id"><valueString value="abc-1"/></extension>' in written.text
    problem = await smart.http.get("/user/profile", headers={"X-Request-Id": "abc-1"})
    assert problem.status_code == 401
    assert problem.json()["request_id"] == "abc-1"


@pytest.mark.parametrize("path", ["/fhir/Patient/1", "/user/profile"])
async def test_a_made_id_stands_in_no_body(smart: SmartServer, path: str) -> None:
    """Two errors that must look the same do: the id is in the header alone."""
    assert len({(await smart.http.get(path)).text for _ in range(2)}) == 1


async def test_the_audit_trail_names_the_request(smart: SmartServer) -> None:
    """An id made here is the event's; one that the caller chose may come again, and each time leaves an event."""
    fhir = smart.fhir(await smart.system_token("system/*.cruds"))
    await fhir.put("Patient/a", json={"resourceType": "Patient", "id": "a"})
    made = (await fhir.get("Patient/a")).headers["X-Request-Id"]
    for _ in range(2):
        await fhir.get("Patient/a", headers={"X-Request-Id": "abc-1"})
    await smart.http.get("/user/profile", headers={"X-Request-Id": "abc-1"})
    await smart.app.state.audit.flush()
    auditor = smart.fhir(await smart.system_token("system/AuditEvent.rs"))
    event = (await auditor.get(f"AuditEvent/{made}")).json()
    assert event["entity"][0]["what"]["reference"] == "Patient/a"
    bundle = (await auditor.get("AuditEvent?entity:identifier=abc-1")).json()
    assert [entry["resource"]["type"]["code"] for entry in bundle["entry"]].count("rest") == 2
    assert len(bundle["entry"]) == 3
    for entry in bundle["entry"]:
        assert entry["resource"]["entity"][-1] == {
            "what": {"identifier": {"value": "abc-1"}},
            "type": {
                "system": "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType",
                "code": "XrequestId",
            },
        }


async def test_nobody_chooses_the_id_of_an_event(smart: SmartServer) -> None:
    """A request that is called like an earlier event leaves an event of its own."""
    fhir = smart.fhir(await smart.system_token("system/*.cruds"))
    made = (await fhir.get("Patient/a")).headers["X-Request-Id"]
    again = await fhir.get("Observation?code=1", headers={"X-Request-Id": made})
    assert again.headers["X-Request-Id"] == made
    await smart.app.state.audit.flush()
    auditor = smart.fhir(await smart.system_token("system/AuditEvent.rs"))
    assert (await auditor.get(f"AuditEvent/{made}")).json()["subtype"][0]["code"] == "read"
    assert (await auditor.get(f"AuditEvent?entity:identifier={made}")).json()["total"] == 1


def test_log_lines_name_the_request(capsys: pytest.CaptureFixture[str]) -> None:
    """What is logged in the course of a request has its id, anything else has none."""
    log.configure(Settings(log_format="json"))
    token = current.set(RequestId("abc-1", chosen=True))
    log.fault(ValueError("personal"))
    current.reset(token)
    log.fault(ValueError("personal"))
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line.get("request_id") for line in lines] == ["abc-1", None]
    structlog.reset_defaults()


def test_pages_of_other_origins_may_read_the_id() -> None:
    """A browser shows a page only the headers that are exposed."""
    from fhir_server.http.cors import _EXPOSED

    assert "X-Request-Id" in _EXPOSED
