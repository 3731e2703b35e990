"""A changed row changes only its own elements of a resource that others write to."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings

from mappings.accounts import user_family, users
from mappings.shared.changes import changed
from tests.unit.mappings.strategies import user_rows

PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "1",
    "extension": [
        {"url": "http://vendor.example.org/risk", "valueCode": "low"},
        {"url": "http://hl7.org/fhir/StructureDefinition/timezone", "valueCode": "Europe/Madrid"},
    ],
    "identifier": [{"system": "http://vendor.example.org/mrn", "value": "77"}],
    "name": [
        {"use": "nickname", "given": ["Mimi"]},
        {"use": "official", "family": "Lindqvist", "given": ["Mara", "Elise"], "prefix": ["Dr"]},
    ],
    "telecom": [
        {"system": "phone", "value": "1", "use": "old"},
        {"system": "phone", "value": "2", "use": "mobile", "rank": 1},
        {"system": "email", "value": "m@example.org"},
    ],
    "communication": [{"language": {"coding": [{"system": "urn:ietf:bcp:47", "code": "sv"}]}}],
}


def with_change(resource: dict[str, Any], **columns: Any) -> dict[str, Any]:
    row = users.from_fhir(resource)
    return changed(resource, users.to_fhir(row)[0], users.to_fhir(row.model_copy(update=columns))[0])


def test_nothing_changed() -> None:
    """A row that did not change leaves the resource as it is."""
    assert with_change(PATIENT) == PATIENT


def test_one_contact_point() -> None:
    """A new phone number takes the place of the one in use, keeping what else is said of it."""
    result = with_change(PATIENT, phone="3")
    assert result["telecom"] == [
        PATIENT["telecom"][0],
        {"system": "phone", "value": "3", "use": "mobile", "rank": 1},
        PATIENT["telecom"][2],
    ]
    assert {name: value for name, value in result.items() if name != "telecom"} == {
        name: value for name, value in PATIENT.items() if name != "telecom"
    }


def test_family_name() -> None:
    """A new family name changes the official name only, and keeps its given names and prefix."""
    nickname, official = with_change(PATIENT, last_name="Aldabe")["name"]
    assert nickname == PATIENT["name"][0]
    assert (official["family"], official["given"], official["prefix"]) == ("Aldabe", ["Mara", "Elise"], ["Dr"])


def test_removed_column() -> None:
    """A column that is emptied takes its element away, and no other."""
    assert with_change(PATIENT, email=None)["telecom"] == PATIENT["telecom"][:2]
    assert with_change(PATIENT, timezone=None)["extension"] == PATIENT["extension"][:1]


def test_added_column() -> None:
    """A column that is filled adds its element beside those of others."""
    extensions = with_change(PATIENT, status="banned")["extension"]
    assert extensions[:2] == PATIENT["extension"]
    assert extensions[2]["valueCode"] == "banned"


def test_more_exact_code() -> None:
    """A changed relation replaces the more exact code that another system wrote, instead of standing beside it."""
    coding = {"system": "http://terminology.hl7.org/CodeSystem/v3-RoleCode", "code": "SON", "display": "son"}
    person = {
        "resourceType": "RelatedPerson",
        "id": "1",
        "patient": {"reference": "Patient/1"},
        "relationship": [{"coding": [coding], "text": "my boy"}],
    }
    row = user_family.from_fhir(person)
    result = changed(
        person, user_family.to_fhir(row), user_family.to_fhir(row.model_copy(update={"relation": "spouse"}))
    )
    assert [item["code"] for concept in result["relationship"] for item in concept["coding"]] == ["SPS"]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(user_rows, user_rows)
def test_any_row_to_any_row(old: users.User, new: users.User) -> None:
    """Whatever a row becomes, the changed resource reads as the new row."""
    new = new.model_copy(update={"id": old.id, "password_hash": None})
    result = changed(users.to_fhir(old)[0], users.to_fhir(old)[0], users.to_fhir(new)[0])
    assert users.from_fhir(result) == new
