"""A hospital endpoint tells and does nothing that the token's scopes do not cover."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import Request

from fhir_server.auth.permission.scopes import parse_scopes
from fhir_server.errors import Forbidden
from fhir_server.hospital.api.coverage import TABLE, require_covered
from fhir_server.hospital.api.own_app import PATIENT_SCOPES, STAFF_SCOPES
from fhir_server.hospital.app import create_facade
from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.settings import Settings
from tests.facade.api.test_scopes import limited
from tests.facade.clinic import policy_of
from tests.facade.endpoints import ENDPOINTS
from tests.facade.world import make_world
from tests.facade_server import Hospital


def needs_of(row: str) -> list[tuple[str, str]]:
    """Return each type and letter of a row."""
    return [(kind, letter) for need in TABLE[row] for kind, letters in [need.split(".")] for letter in letters]


def request_of(row: str) -> Request:
    """Return a request of a row of the table, as far as it matters."""
    method, _, path = row.partition(" ")
    path, _, parameter = path.partition("?")
    route = SimpleNamespace(path_format=path)
    query = f"{parameter}=1" if parameter else ""
    scope: dict[str, Any] = {"type": "http", "method": method, "route": route, "query_string": query.encode()}
    return Request({**scope, "headers": []})


def all_but(kind: str, letter: str) -> str:
    """Return scopes on every type, without one letter on one type."""
    others = [f"patient/{name}.cruds" for name in sorted(RESOURCE_TYPES - {kind})]
    rest = "cruds".replace(letter, "")
    return " ".join([*others, f"patient/{kind}.{rest}"] if kind != "*" else others)


def test_every_endpoint_with_a_token_has_a_row() -> None:
    """An endpoint that takes a token stands in the table, and the table has no other."""
    paths = create_facade(Settings()).openapi()["paths"]
    secured = {
        f"{method.upper()} {path}"
        for path, operations in paths.items()
        for method, operation in operations.items()
        if operation.get("security")
    }
    assert secured == {row.partition("?")[0] for row in TABLE}


@pytest.mark.parametrize("row", TABLE)
def test_each_type_and_letter_is_needed(row: str) -> None:
    """With everything but one right on one type the endpoint is closed; so it is where that right is narrowed."""
    require_covered(request_of(row), parse_scopes("patient/*.cruds"))
    for kind, letter in needs_of(row):
        with pytest.raises(Forbidden):
            require_covered(request_of(row), parse_scopes(all_but(kind, letter)))
        if letter in "cud":
            narrowed = f"{all_but(kind, letter)} patient/{kind}.{letter}?_tag=x"
            with pytest.raises(Forbidden):
                require_covered(request_of(row), parse_scopes(narrowed))


@pytest.mark.parametrize("scopes", [PATIENT_SCOPES, STAFF_SCOPES])
def test_the_hospital_s_own_app_can_do_all(scopes: Any) -> None:
    """The scopes of a session cover every endpoint."""
    for row in TABLE:
        require_covered(request_of(row), scopes)


async def test_other_apps_are_refused_what_they_were_not_given(hospital: Hospital) -> None:
    """With a scope on another type no endpoint answers that reads or writes anything; nothing is written."""
    world = await make_world(hospital)
    before = {name: (await hospital.fhir("GET", name))["total"] for name in ("Appointment", "Invoice", "Encounter")}
    other = await limited(hospital, world.mara, "patient/Basic.cruds")
    for endpoint in ENDPOINTS:
        row = f"{endpoint.method} {endpoint.path}"
        if endpoint.open or not next((needs for name, needs in TABLE.items() if _same(name, row)), ()):
            continue
        answer = await world.ask(other, endpoint)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), row
    for name, total in before.items():
        assert (await hospital.fhir("GET", name))["total"] == total


def _same(row: str, other: str) -> bool:
    return _shape(row.partition("?")[0]) == _shape(other)


def _shape(row: str) -> list[str]:
    return ["{}" if part.startswith("{") else part for part in row.split("/")]


async def test_invoices_and_eligibility_need_scopes_of_their_own(hospital: Hospital) -> None:
    """Appointments alone show no invoice, policies alone have none verified, and nothing of it is written."""
    world = await make_world(hospital)
    await hospital.put(policy_of(world.mara.id))
    policy = {"provider": "Solace Mutual", "policy_number": "SOL-1"}
    for scopes in ("patient/Appointment.cruds patient/Patient.r", "patient/Appointment.rs patient/Invoice.rs"):
        other = await limited(hospital, world.mara, scopes)
        await other.refused("forbidden", "GET", "/history/appointments")
    before = (await hospital.fhir("GET", "CoverageEligibilityRequest"))["total"]
    for scopes in ("patient/Coverage.rs patient/Patient.rs", "patient/*.rs", "patient/Coverage.cruds"):
        other = await limited(hospital, world.mara, scopes)
        await other.refused("forbidden", "POST", "/booking/insurance/verify", policy)
    assert (await hospital.fhir("GET", "CoverageEligibilityRequest"))["total"] == before
