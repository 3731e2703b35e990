"""The OpenAPI description against the contract: every endpoint, and every error that it may answer with."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.hospital.api.problem import MEDIA_TYPE
from fhir_server.hospital.app import create_facade
from fhir_server.settings import Settings
from tests.facade.endpoints import ENDPOINTS, Endpoint

DESCRIPTION: dict[str, Any] = create_facade(Settings()).openapi()
BESIDE = {("POST", "/payments/webhook/stripe")}
"""Endpoints that are not the app's: what payment gateways tell."""


def test_the_table_is_complete() -> None:
    """Every endpoint of the app has its row, and every row its endpoint; a new endpoint without a row fails here."""
    described = {(method.upper(), path) for path, operations in DESCRIPTION["paths"].items() for method in operations}
    assert described - BESIDE == {(row.method, row.path) for row in ENDPOINTS}
    assert {row.number for row in ENDPOINTS} >= {str(number) for number in range(1, 37)}


def _operation(row: Endpoint) -> dict[str, Any]:
    found: dict[str, Any] = DESCRIPTION["paths"][row.path][row.method.lower()]
    return found


def _examples(row: Endpoint) -> dict[str, Any]:
    return {
        code: (status, example["value"])
        for status, response in _operation(row)["responses"].items()
        for code, example in response.get("content", {}).get(MEDIA_TYPE, {}).get("examples", {}).items()
    }


@pytest.mark.parametrize("row", ENDPOINTS, ids=lambda row: row.title)
def test_every_error_is_described(row: Endpoint) -> None:
    """Each code that the contract lists for an endpoint is in its description, with an example of that status."""
    found = _examples(row)
    assert row.all_codes <= found.keys()
    for code, (status, example) in found.items():
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
