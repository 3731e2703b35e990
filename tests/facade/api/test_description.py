"""The OpenAPI description against the contract: every endpoint, and every error that it may answer with."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.routing import APIRoute
from pydantic import TypeAdapter

from fhir_server.hospital.api.problem import MEDIA_TYPE, ProblemDetails
from fhir_server.hospital.app import _EHR, _HMS, create_facade
from fhir_server.settings import Settings
from tests.facade.endpoints import ENDPOINTS, Endpoint

FACADE = create_facade(Settings())
DESCRIPTION: dict[str, Any] = FACADE.openapi()
ROUTES = [route for router in (*_HMS, *_EHR) for route in router.routes if isinstance(route, APIRoute)]
BESIDE = {("POST", "/payments/webhook/stripe")}
"""Endpoints that are not the app's: what payment gateways tell."""


def test_the_table_is_complete() -> None:
    """Every endpoint of the app has its row, and every row its endpoint; a new endpoint without a row fails here."""
    described = {(method.upper(), path) for path, operations in DESCRIPTION["paths"].items() for method in operations}
    assert described - BESIDE == {(row.method, row.path) for row in ENDPOINTS}
    assert {row.number for row in ENDPOINTS} >= {str(number) for number in range(1, 37)}


def _operation(row: Endpoint) -> dict[str, Any]:
    result: dict[str, Any] = DESCRIPTION["paths"][row.path][row.method.lower()]
    return result


def _examples(row: Endpoint) -> dict[str, Any]:
    return {
        code: (status, example["value"])
        for status, response in _operation(row)["responses"].items()
        for code, example in response.get("content", {}).get(MEDIA_TYPE, {}).get("examples", {}).items()
    }


@pytest.mark.parametrize("row", ENDPOINTS, ids=lambda row: row.title)
def test_every_error_is_described(row: Endpoint) -> None:
    """Each code that the contract lists for an endpoint is in its description, with an example of that status."""
    result = _examples(row)
    assert row.all_codes <= result.keys()
    for code, (status, example) in result.items():
        assert (example["code"], str(example["status"])) == (code, status)
        assert ("errors" in example) == (status == "422")


@pytest.mark.parametrize("row", ENDPOINTS, ids=lambda row: row.title)
def test_what_needs_a_token_says_so(row: Endpoint) -> None:
    """The description asks for a token where the contract does, and errors are described in their own media type."""
    assert bool(_operation(row).get("security")) == (not row.open)
    for status, response in _operation(row)["responses"].items():
        if int(status) >= 400:
            assert set(response["content"]) == {MEDIA_TYPE}
            assert response["content"][MEDIA_TYPE]["schema"] == {"$ref": "#/components/schemas/ProblemDetails"}


def test_the_description_is_whole() -> None:
    """Every schema that is referred to is there."""
    text, schemas = str(DESCRIPTION), DESCRIPTION["components"]["schemas"]
    assert {"ProblemDetails", "FieldError"} <= schemas.keys()
    referred = {part.split("'")[0] for part in text.split("#/components/schemas/")[1:]}
    assert referred <= schemas.keys()


def test_operations_have_names_of_their_own() -> None:
    """Each operation has an id that a generated client can use as a name."""
    names = [operation["operationId"] for path in DESCRIPTION["paths"].values() for operation in path.values()]
    assert len(names) == len(set(names))
    assert all(name.isidentifier() for name in names)


def test_values_are_described_as_they_are_checked() -> None:
    """Addresses, passwords, times and ids say their format or pattern."""
    schemas = DESCRIPTION["components"]["schemas"]
    booking = schemas["Booking"]["properties"]
    assert booking["doctor_id"]["pattern"] == "^[A-Za-z0-9\\-.]{1,64}$"
    assert booking["appointment_time"]["anyOf"][0]["pattern"] == "^\\d{2}:\\d{2}(:\\d{2})?$"
    assert booking["appointment_date"]["anyOf"][0]["format"] == "date"
    files = DESCRIPTION["paths"]["/history/documents/download"]["get"]["responses"]["200"]["content"]
    assert {"application/pdf", "image/png", "application/octet-stream"} <= files.keys()


def _described(route: APIRoute) -> dict[str, Any]:
    (method,) = route.methods
    result: dict[str, Any] = DESCRIPTION["paths"][route.path_format][method.lower()]
    return result


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{min(route.methods)} {route.path_format}")
def test_every_body_has_an_example_that_its_model_takes(route: APIRoute) -> None:
    """The example of each request and answer is one that the endpoint's own model takes, with all that it requires."""
    operation = _described(route)
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        assert "example" in content, media_type
        if media_type == "application/json":
            assert route.body_field is not None
            model = route.body_field.field_info.annotation
            TypeAdapter(model).validate_python(content["example"])
    for status, response in operation["responses"].items():
        for media_type, content in response.get("content", {}).items():
            if content.get("schema", {}).get("format") == "binary":
                continue
            assert "example" in content or content.get("examples"), (status, media_type)
            if status < "300" and media_type == "application/json":
                own = route.responses.get(int(status), {}).get("model") or route.response_model
                TypeAdapter(own).validate_python(content["example"])
            if media_type == MEDIA_TYPE:
                for example in content["examples"].values():
                    ProblemDetails.model_validate(example["value"])


def test_every_operation_has_its_route() -> None:
    """The routes above are all that the description has."""
    assert sorted(route.path_format for route in ROUTES) == sorted(
        path for path, operations in DESCRIPTION["paths"].items() for _ in operations
    )


def test_every_parameter_has_an_example() -> None:
    """A parameter shows how it is written."""
    for path, operations in DESCRIPTION["paths"].items():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                shown = "example" in parameter or "example" in str(parameter["schema"])
                assert shown, (path, parameter["name"])


def test_formats_and_bounds_are_those_of_json_schema() -> None:
    """Addresses and links say their format, and amounts their bounds in words that JSON Schema has."""
    schemas = DESCRIPTION["components"]["schemas"]
    assert schemas["AppointmentPaying"]["properties"]["amount"] == {
        "type": "number", "minimum": 0, "maximum": 10**9, "title": "Amount",
    }  # fmt: skip
    user = schemas["UserAnswer"]["properties"]
    assert [user[name]["anyOf"][0]["format"] for name in ("email", "profile_picture")] == ["email", "uri"]
    assert schemas["DocumentAnswer"]["properties"]["file_url"]["format"] == "uri-reference"
    assert "'ge'" not in str(schemas)
