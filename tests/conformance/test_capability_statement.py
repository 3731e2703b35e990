"""The CapabilityStatement says what is true, and the file at the root is that statement."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest

from fhir_server.engine.engine import HANDLERS
from fhir_server.engine.interactions import capabilities
from fhir_server.engine.interactions.capabilities import capability_statement
from fhir_server.engine.operations.registry import OPERATIONS
from fhir_server.engine.routes import route_of
from fhir_server.errors import BadRequest, FhirError
from fhir_server.http.content import representation
from fhir_server.r4 import values
from fhir_server.r4.definitions import RESOURCE_TYPES
from fhir_server.r4.validation import validate
from fhir_server.search.query.parse import parse
from fhir_server.search.registry import parameters

ROOT = Path(__file__).parents[2]
STATEMENT = capability_statement()
REST = STATEMENT["rest"][0]
EXAMPLES = {
    "token": "a",
    "string": "a",
    "date": "2020",
    "number": "1",
    "quantity": "1",
    "uri": "http://a",
    "reference": "Patient/1",
    "composite": "a$a",
    "special": "1|2|3|km",
}
RESOURCES: dict[str, dict[str, Any]] = {resource["type"]: resource for resource in REST["resource"]}


def test_the_file_is_the_statement() -> None:
    """capability_statement.json is what the code derives; `make capability` writes it anew."""
    expected = values.pretty(values.encode(STATEMENT)) + b"\n"
    assert (ROOT / "capability_statement.json").read_bytes() == expected


def test_the_statement_is_a_valid_resource() -> None:
    """The validator finds no fault in the statement, with a base URL and without one."""
    assert validate(STATEMENT, max_depth=100) == []
    assert validate(capability_statement("https://fhir.example.org/fhir"), max_depth=100) == []


def test_a_server_names_its_own_base() -> None:
    """The statement of a server says where it stands; the one of the software does not."""
    assert (
        capability_statement("https://fhir.example.org/fhir")["implementation"]["url"]
        == "https://fhir.example.org/fhir"
    )
    assert "url" not in STATEMENT["implementation"]


def test_every_resource_type_is_described_once() -> None:
    """All 146 types of R4 are there."""
    assert len(REST["resource"]) == len(RESOURCES) == 146
    assert set(RESOURCES) == RESOURCE_TYPES


def test_every_interaction_that_is_served_is_stated_and_no_other() -> None:
    """The interactions of a type, and those of the system, are what the engine has handlers for."""
    stated = {interaction["code"] for interaction in (*RESOURCES["Patient"]["interaction"], *REST["interaction"])}
    # What is asked of an answer that comes later (`async-`) is no interaction of FHIR's.
    named = {name for name in HANDLERS if not name.startswith(("conditional-", "async-"))}
    served = named - {"capabilities", "operation"}
    # A transaction is routed as the batch that its Bundle may turn out to be.
    assert stated == served | {"transaction"}


@pytest.mark.parametrize("name", sorted(RESOURCE_TYPES))
def test_every_search_parameter_is_stated_and_no_other(name: str) -> None:
    """A parameter of the registry is stated with its type and definition, unless a search by it is refused."""
    everywhere = [*RESOURCES[name].get("searchParam", []), *REST["searchParam"]]
    stated = {result["name"]: (result["type"], result.get("definition")) for result in everywhere}
    assert len(stated) == len(everywhere)
    for code, result in parameters(name).items():
        assert stated.get(code) == ((result.type, result.url) if is_taken(name, code, EXAMPLES[result.type]) else None)


def is_taken(name: str, code: str, value: str) -> bool:
    try:
        parse((name,), [(code, value)], strict=True)
    except BadRequest as error:
        # An example may not fit a composite; then it is the value that is refused.
        return error.issues[0].code == "value"
    return True


@pytest.mark.parametrize("name", sorted(RESOURCE_TYPES))
def test_what_may_be_included_is_a_reference(name: str) -> None:
    """searchInclude names the type's reference parameters, searchRevInclude those of others that may refer to it."""
    codes = {code for code, result in parameters(name).items() if result.type == "reference"}
    assert RESOURCES[name]["searchInclude"] == ["*", *(f"{name}:{code}" for code in sorted(codes))]
    for stated in RESOURCES[name].get("searchRevInclude", []):
        source, code = stated.split(":")
        assert name in parameters(source)[code].target


def test_every_operation_is_stated_where_it_can_be_asked() -> None:
    """An operation stands with the types and levels that the router and the registry let through."""
    for name, operation in product(("Patient", "Encounter", "Observation"), OPERATIONS):
        stated = {result["definition"] for result in RESOURCES[name].get("operation", [])}
        below_system = bool(operation.levels - {"system"})
        assert (operation.definition in stated) == (operation.on(name) and below_system)
    assert {result["name"] for result in REST.get("operation", [])} == {
        operation.code for operation in OPERATIONS if "system" in operation.levels
    }


@pytest.mark.parametrize("media", capabilities.FORMATS)
def test_every_format_that_is_stated_can_be_asked_for(media: str) -> None:
    """A client gets what the statement lists under format."""
    assert media.rpartition("+")[2].removeprefix("application/") in representation.choose(format_=media).content_type


@pytest.mark.parametrize("media", capabilities.PATCH_FORMATS)
def test_every_patch_format_that_is_stated_is_taken(media: str) -> None:
    """A body of a type listed under patchFormat is read."""
    assert representation.body_format(media) in ("json", "xml", "patch")


def test_compartments_that_are_stated_can_be_searched() -> None:
    """Each compartment named in the statement has a route, and no other type has."""
    stated = {url.rpartition("/")[2] for url in REST["compartment"]}
    routed = set()
    for name in RESOURCE_TYPES:
        try:
            route_of("GET", f"{name}/1/Observation")
        except FhirError:
            continue
        routed.add(name.lower())
    assert stated == routed
