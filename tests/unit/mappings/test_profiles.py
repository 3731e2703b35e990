"""What the hospital means beyond FHIR's own words is published, completely and as valid FHIR."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.own_urls import DEFAULT_BASE, own_url, path_of
from fhir_server.r4.definitions import table
from fhir_server.r4.validation import validate
from mappings.accounts import users
from mappings.billing import payments
from mappings.catalogue import clinics, doctors, specialties
from mappings.records import medical_documents, prescriptions
from mappings.shared import profiles
from mappings.shared.extensions import EXTENSIONS
from mappings.visits import visit_tracking
from tests.unit.mappings import strategies as rows
from tests.unit.mappings.test_tables import AT

DEFINITIONS = {resource["url"]: resource for resource in profiles.resources()}


@pytest.mark.parametrize("url", DEFINITIONS)
def test_definitions_are_valid(url: str) -> None:
    """Every published definition is valid FHIR R4, and its URL ends in its id."""
    resource = DEFINITIONS[url]
    assert [issue for issue in validate(resource, max_depth=50) if issue.severity == "error"] == []
    assert url == f"{DEFAULT_BASE}/fhir/{resource['resourceType']}/{resource['id']}"


@pytest.mark.parametrize("profile", profiles.PROFILES, ids=lambda profile: profile.name)
def test_columns_stand_at_elements_of_the_type(profile: profiles.Profile) -> None:
    """Every element that a profile maps to a column exists in its resource type."""
    for path in profile.columns:
        first, _, rest = path.replace("[x]", "").partition(".")
        names = set(table(profile.type).elements)
        assert any(name == first or re.fullmatch(first + "[A-Z][A-Za-z]+", name) for name in names), (path, rest)


written = st.one_of(
    rows.user_rows.map(lambda row: [users.to_fhir(row)[0]]),
    rows.clinic_rows.map(lambda row: [clinics.to_fhir(row)]),
    rows.specialty_rows.map(lambda row: [specialties.to_fhir(row)]),
    rows.doctor_rows.map(lambda row: list(doctors.to_fhir(row))),
    rows.payment_rows().map(lambda row: list(payments.to_fhir(row, user_id="u", at=AT))),
    rows.prescription_rows.map(lambda row: [prescriptions.to_fhir(row, user_id="u")]),
    rows.document_rows.map(lambda row: list(medical_documents.to_fhir(row, at=AT, data=b"x"))),
    rows.visit_rows.map(lambda row: [visit_tracking.to_fhir(row, user_id="u")]),
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(written)
def test_extensions_in_use_are_published(resources: list[dict[str, Any] | None]) -> None:
    """Every extension and code of the hospital that a row turns into is published, for the place where it stands."""
    contexts = {own_url("StructureDefinition", item.name): item for item in EXTENSIONS}
    for resource in filter(None, resources):
        assert set(resource.get("meta", {}).get("profile", [])) <= set(DEFINITIONS)
        for place, extension in found(resource, resource["resourceType"]):
            if path_of(extension["url"]) is not None:
                definition = contexts[extension["url"]]
                assert place in definition.contexts
                kind = definition.value_type
                assert f"value{kind[0].upper()}{kind[1:]}" in extension


def test_codes_in_use_are_published() -> None:
    """The code systems that the mappings write codes of are published with those codes."""
    kinds = DEFINITIONS[own_url("CodeSystem", "notification-kind")]["concept"]
    assert "appointment_reminder" in [concept["code"] for concept in kinds]
    assert DEFINITIONS[own_url("CodeSystem", "document-type")]["concept"][0]["code"] == "other"


def found(value: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(value, list):
        for item in value:
            yield from found(item, path)
    elif isinstance(value, dict):
        for name, item in value.items():
            if name == "extension":
                yield from ((path, extension) for extension in item)
            else:
                yield from found(item, f"{path}.{name}")
