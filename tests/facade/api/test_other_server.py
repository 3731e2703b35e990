"""The health record's endpoints on another FHIR server, over HTTP, by its own tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fhir_server.cli import accounts
from fhir_server.server.app import create_app
from fhir_server.settings import Settings, SettingsError, settings_with
from tests.databases import Databases
from tests.facade.clinic import booking_of, open_clinics, policy_of
from tests.facade.records.test_record import PDF, record_of
from tests.facade_server import AppUser, Hospital
from tests.smart.over_http import free_port, served

BOOKED = "visit"
READS = [
    f"/treatment-plan/{BOOKED}",
    "/medicine/prescription",
    f"/medicine/prescription?appointment_id={BOOKED}&active_only=true",
    "/lab-tests/results",
    "/lab-tests/results?status=completed&limit=1",
    "/history/documents",
    "/history/documents?document_type=lab_report",
    "/history/documents/download?document_id=document",
]
PAYING = {"lab_test_id": "lipids", "amount": 20, "currency": "USD", "payment_method": "card", "card_token": "tok_visa"}


@asynccontextmanager
async def ehr_on(base_url: str, mongod_url: str, name: str, data_dir: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Give the EHR service on another server's FHIR base."""
    settings = Settings(
        fhir_base_url=base_url, database_url=mongod_url, database_name=name, data_dir=data_dir, log_level="critical"
    )
    app = create_app(settings)
    http = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://ehr.test")
    async with app.router.lifespan_context(app), http:
        yield http


@dataclass(slots=True)
class Vendor:
    """A hospital on one server, with Mara's record, and an EHR service that has nothing but its base URL."""

    hospital: Hospital
    mara: AppUser
    ehr: httpx.AsyncClient

    async def token(self, scope: str) -> str:
        """Return a token of a service of the hospital's server."""
        work = accounts.add_client(
            "Pharmacy", scope, secret=True, redirect_uris=[], jwks=None, jwks_uri=None, launch_url=None
        )
        made = await work(self.hospital.services, self.hospital.app.state.oauth.store)
        form = {"grant_type": "client_credentials", "scope": scope}
        answer = await self.hospital.http.post(
            "/oauth/token", data=form, auth=(made["client_id"], made["client_secret"])
        )
        return str(answer.json()["access_token"])

    async def ask(self, token: str, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}", **more.pop("headers", {})}
        return await self.ehr.request(method, path, headers=headers, **more)


@pytest.fixture
async def vendor(databases: Databases, database_name: str, mongod_url: str, tmp_path: Path) -> AsyncIterator[Vendor]:
    """Yield the two servers."""
    port, own_name = free_port(), databases.take()
    settings = Settings(
        port=port, database_url=mongod_url, database_name=database_name, data_dir=tmp_path / "a", log_level="critical"
    )
    app, base = create_app(settings), f"http://127.0.0.1:{port}"
    async with served(app, port), httpx.AsyncClient(base_url=base) as http:
        hospital = Hospital(app, http)
        await open_clinics(hospital)
        mara = await hospital.sign_up("mara")
        booked = await mara.ask("POST", "/booking/appointments", booking_of(), status=201)
        appointment = await hospital.fhir("GET", f"Appointment/{booked['id']}")
        await hospital.put(appointment | {"id": BOOKED}, *record_of(mara.id, BOOKED), policy_of(mara.id))
        # By FHIR's own means a patient's token shows only a file that says whose it is.
        guarded = {"securityContext": {"reference": f"Patient/{mara.id}"}}
        await hospital.put(await hospital.fhir("GET", "Binary/pdf") | guarded)
        async with ehr_on(f"{base}/fhir", mongod_url, own_name, tmp_path / "b") as ehr:
            yield Vendor(hospital, mara, ehr)
    databases.give_back(own_name)


async def test_the_record_is_the_same_as_at_its_own_server(vendor: Vendor) -> None:
    """With a patient's token each endpoint answers as the hospital's own does, and gives the same file."""
    token = vendor.mara.session["access_token"]
    for path in READS:
        own, elsewhere = await vendor.mara.send("GET", path), await vendor.ask(token, "GET", path)
        assert (own.status_code, elsewhere.status_code) == (200, 200), (path, elsewhere.text)
        pages = [each.json() if "json" in each.headers["content-type"] else each.content for each in (own, elsewhere)]
        for page in pages:
            if isinstance(page, dict):
                page.pop("next", None)  # cursors are sealed by the server that gave them
        assert pages[0] == pages[1], path
    assert pages[0] == PDF


async def test_pages_follow_one_another(vendor: Vendor) -> None:
    """A cursor leads to the rest."""
    token = vendor.mara.session["access_token"]
    first = (await vendor.ask(token, "GET", "/lab-tests/results?limit=1")).json()
    second = (await vendor.ask(token, "GET", f"/lab-tests/results?limit=1&cursor={first['next']}")).json()
    assert [item["test_name"] for item in (*first["items"], *second["items"])] == ["Lipids", "Glucose"]
    assert (first["total"], second["next"]) == (2, None)


async def test_a_token_that_shows_many_says_whose_record_is_meant(vendor: Vendor) -> None:
    """A pharmacy or lab names the patient; without that it is told to."""
    await vendor.hospital.sign_up("noor")
    token = await vendor.token("system/*.rs")
    body = await vendor.ask(token, "GET", "/medicine/prescription")
    assert (body.status_code, body.json()["errors"][0]["field"]) == (422, "patient")
    response = await vendor.ask(token, "GET", f"/medicine/prescription?patient={vendor.mara.id}")
    assert [item["medicine_name"] for item in response.json()["items"]] == ["Lisinopril"]
    for unknown in ("nobody", "..%2FPatient", "x%2Fy"):
        answer = await vendor.ask(token, "GET", f"/medicine/prescription?patient={unknown}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_what_the_token_does_not_show(vendor: Vendor) -> None:
    """No token and a bad one are 401, a token without the scope 403, another user's visit 404."""
    assert (await vendor.ehr.get("/medicine/prescription")).status_code == 401
    bad = await vendor.ask("not-a-token", "GET", "/medicine/prescription")
    assert (bad.status_code, bad.json()["code"]) == (401, "invalid_token")
    assert bad.headers["www-authenticate"].startswith("Bearer")
    narrow = await vendor.token("system/Patient.rs")
    refused = await vendor.ask(narrow, "GET", f"/medicine/prescription?patient={vendor.mara.id}")
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    noor = await vendor.hospital.sign_up("noor")
    for path in (f"/treatment-plan/{BOOKED}", "/history/documents/download?document_id=document"):
        answer = await vendor.ask(noor.session["access_token"], "GET", path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_a_lab_verifies_and_is_paid(vendor: Vendor) -> None:
    """Eligibility, invoice and payment are written to the other server; a second payment is refused."""
    token, query = await vendor.token("system/*.cruds"), f"?patient={vendor.mara.id}"
    answer = await vendor.ask(
        token, "POST", f"/lab-tests/insurance/verify{query}", json={"lab_test_id": "lipids", "policy_number": "SOL-1"}
    )
    assert (answer.status_code, answer.json()["verified"]) == (200, True)
    medicine = await vendor.ask(token, "POST", f"/medicine/insurance/verify{query}", json={"prescription_id": "pills"})
    assert medicine.json()["coverage_id"] == f"policy-{vendor.mara.id}"
    body = await vendor.hospital.fhir("GET", "CoverageEligibilityResponse?_include=CoverageEligibilityResponse:request")
    assert sorted(entry["search"]["mode"] for entry in body["entry"]) == ["include", "include", "match", "match"]
    again = {"headers": {"Idempotency-Key": "k"}, "json": PAYING}
    paid = [await vendor.ask(token, "POST", f"/lab-tests/payment{query}", **dict(again)) for _ in range(2)]
    assert [(each.status_code, each.json()["status"]) for each in paid] == [(201, "completed")] * 2
    assert paid[0].json() == paid[1].json()
    assert (await vendor.hospital.fhir("GET", f"Invoice/{paid[0].json()['id']}"))["status"] == "balanced"
    twice = await vendor.ask(token, "POST", f"/lab-tests/payment{query}", json=PAYING)
    assert (twice.status_code, twice.json()["code"]) == (409, "already_paid")
    missing = await vendor.ask(
        token, "POST", f"/lab-tests/payment{query}", json=PAYING | {"lab_test_id": "../Patient/x"}
    )
    assert (missing.status_code, missing.json()["errors"][0]["field"]) == (422, "lab_test_id")


async def test_a_document_is_added_there(vendor: Vendor) -> None:
    """The document and its file are resources of the other server."""
    token = await vendor.token("system/*.cruds")
    form, files = {"document_type": "scan"}, {"file": ("scan.png", b"\x89PNG", "image/png")}
    answer = await vendor.ask(token, "POST", f"/history/documents?patient={vendor.mara.id}", data=form, files=files)
    assert answer.status_code == 201, answer.text
    document = await vendor.hospital.fhir("GET", f"DocumentReference/{answer.json()['id']}")
    binary = await vendor.hospital.fhir("GET", document["content"][0]["attachment"]["url"])
    assert binary["securityContext"] == {"reference": f"Patient/{vendor.mara.id}"}


async def test_only_the_record_is_served(vendor: Vendor) -> None:
    """The other endpoints are not there, nor in the description, which tells of `patient`."""
    for path in ("/user/profile", "/booking/clinics", "/fhir/Patient", "/oauth/token"):
        assert (await vendor.ehr.get(path)).status_code == 404
    described = (await vendor.ehr.get("/openapi.json")).json()["paths"]
    assert {path.split("/")[1] for path in described} == {"treatment-plan", "lab-tests", "medicine", "history"}
    for path in described.values():
        for operation in path.values():
            assert "patient" in [parameter["name"] for parameter in operation["parameters"]]
            assert {"502", "503"} <= set(operation["responses"])


def test_the_other_services_do_not_work_on_another_server() -> None:
    """A combination that cannot work is refused by name."""
    with pytest.raises(SettingsError, match="services is ehr"):
        settings_with(fhir_base_url="http://127.0.0.1/fhir", services="ehr,hms")
    with pytest.raises(SettingsError, match="auth, ehr, fhir, hms"):
        settings_with(services="fhir,lab")


# --- A server with other habits --------------------------------------------------------------------------------------


class Foreign:
    """A FHIR server in memory that does what R4 allows and ours does not.

    It gives all ids itself, sends nothing back on a create, says no search modes and keeps neither versions nor times.
    """

    def __init__(self) -> None:
        self.patient = {"resourceType": "Patient", "id": "p", "name": [{"family": "Ruiz"}]}
        pills = {"resourceType": "MedicationRequest", "status": "active", "intent": "order"}
        subject = {"subject": {"reference": "Patient/p"}, "medicationCodeableConcept": {"text": "Ibuprofen"}}
        self.pills = [{**pills, **subject, "id": str(number)} for number in range(3)]
        self.created: list[dict[str, Any]] = []
        self.says: Response | None = None
        self.base = ""
        self.next = ""
        self.seen: list[Request] = []

    async def answer(self, request: Request) -> Response:
        path = request.path_params.get("path", "")
        self.seen.append(request)
        if self.says is not None:
            return self.says
        kind = path.partition("/")[0]
        if request.method == "POST" and kind:
            made = await request.json() | {"id": f"server-{len(self.created)}"}
            self.created.append(made)
            location = f"{self.base}/{kind}/{made['id']}/_history/x"
            return Response(status_code=201, headers={"Location": location})
        if request.method != "GET":
            return JSONResponse({"resourceType": "OperationOutcome"}, 405)
        expected = path.partition("/")[2]
        if expected:
            items = [item for item in (self.patient, *self.created) if item["id"] == expected]
            return JSONResponse(items[0] if items else {"resourceType": "OperationOutcome"}, 200 if items else 404)
        return JSONResponse(self._page(kind, request))

    def _page(self, kind: str, request: Request) -> dict[str, Any]:
        matches = {"Patient": [self.patient], "MedicationRequest": self.pills}.get(kind, [])
        links = []
        if kind == "MedicationRequest":
            matches, links = matches[:2], [{"relation": "next", "url": self.next or f"{self.base}?_getpages=1"}]
        if "_getpages" in request.query_params:
            matches = self.pills[2:]
        return {
            "resourceType": "Bundle",
            "type": "searchset",
            "link": links,
            "entry": [{"resource": item} for item in matches],
        }


Both = tuple[Foreign, httpx.AsyncClient]


@pytest.fixture
async def foreign(database_name: str, mongod_url: str, tmp_path: Path) -> AsyncIterator[Both]:
    """Yield such a server and the EHR service on it."""
    made, port = Foreign(), free_port()
    made.base = f"http://127.0.0.1:{port}/r4"
    methods = ["GET", "POST", "PUT"]
    routes = [Route(path, made.answer, methods=methods) for path in ("/r4", "/r4/{path:path}")]
    async with served(Starlette(routes=routes), port), ehr_on(made.base, mongod_url, database_name, tmp_path) as ehr:
        ehr.headers["Authorization"] = "Bearer a.foreign~token"
        yield made, ehr


async def test_a_server_with_other_habits(foreign: Both) -> None:
    """Pages behind links of another form are followed, modes and times that are not said are no fault."""
    server, ehr = foreign
    answer = (await ehr.get("/medicine/prescription")).json()
    assert sorted(item["id"] for item in answer["items"]) == ["0", "1", "2"]
    assert {request.headers["authorization"] for request in server.seen} == {"Bearer a.foreign~token"}
    assert "handling=strict" in server.seen[0].headers["prefer"]


async def test_a_server_that_gives_the_ids(foreign: Both) -> None:
    """What is stored refers to the ids that the server gave."""
    server, ehr = foreign
    files = {"file": ("a.pdf", b"%PDF", "application/pdf")}
    answer = await ehr.post("/history/documents", data={"document_type": "other"}, files=files)
    assert (answer.status_code, answer.json()["id"]) == (201, "server-1")
    assert server.created[1]["content"][0]["attachment"]["url"] == "Binary/server-0"


async def test_a_link_that_leads_elsewhere_is_not_followed(foreign: Both) -> None:
    """The caller's token goes to the configured base alone."""
    server, ehr = foreign
    server.next = f"{server.base}-evil/MedicationRequest?page=2"
    answer = await ehr.get("/medicine/prescription")
    assert (answer.status_code, answer.json()["code"]) == (502, "fhir_refused")


@pytest.mark.parametrize(
    ("says", "status", "code"),
    [
        (Response("<html>", 200), 502, "fhir_refused"),
        (Response("[1]", 200), 502, "fhir_refused"),
        (Response("{}", 301, headers={"Location": "http://127.0.0.1/"}), 502, "fhir_refused"),
        (Response("{}", 400), 502, "fhir_refused"),
        (Response("{}", 501), 502, "fhir_refused"),
        (Response("", 200, headers={"Location": "/r4/Patient/p"}), 502, "fhir_refused"),
        (Response("secret trace", 500), 503, "unavailable"),
        (Response("{}", 429, headers={"Retry-After": "7"}), 429, "too_many_attempts"),
    ],
)
async def test_a_server_that_cannot_answer(foreign: Both, says: Response, status: int, code: str) -> None:
    """What goes wrong there is told as a problem, without its words."""
    server, ehr = foreign
    server.says = says
    answer = await ehr.get("/medicine/prescription")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text
    if status == 429:
        assert answer.headers["retry-after"] == "7"


async def test_a_server_that_is_not_there(database_name: str, mongod_url: str, tmp_path: Path) -> None:
    """It is 503, and can be tried again."""
    async with ehr_on(f"http://127.0.0.1:{free_port()}/fhir", mongod_url, database_name, tmp_path) as ehr:
        answer = await ehr.get("/medicine/prescription", headers={"Authorization": "Bearer x"})
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
