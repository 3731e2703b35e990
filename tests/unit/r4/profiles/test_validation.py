"""Validation by profile: what a profile demands is held, each fault with its place; what it does not say is free."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.r4.profiles.comparison import fits_pattern, is_fixed
from fhir_server.r4.profiles.definitions import STRUCTURES, LayeredDefinitions, OfficialDefinitions
from fhir_server.r4.profiles.plans import Plans
from fhir_server.r4.profiles.validation import validate_profiles
from tools.conformance.ours import Judge
from tools.conformance.packages import resources_of
from tools.fetch_test_data import EXTENSIONS, IPS

Json = dict[str, Any]
URL = "http://profiles.test/p"


class Own:
    """One profile, by its differential."""

    def __init__(self, type_name: str, *elements: Json, **more: Any) -> None:
        self._structure = {
            "resourceType": "StructureDefinition",
            "url": URL,
            "type": type_name,
            "baseDefinition": STRUCTURES + type_name,
            "derivation": "constraint",
            "differential": {"element": [{"path": type_name}, *elements]},
            **more,
        }

    def structure(self, url: str, version: str | None = None) -> Json | None:
        return self._structure if url == URL else None


def errors(own: Own, resource: Json) -> list[str]:
    """Return the places of the errors."""
    plans = Plans(LayeredDefinitions(OfficialDefinitions(), own))
    faults = validate_profiles(resource, plans, profiles=[URL])
    unchecked = [each.text for each in faults if each.code == "not-supported"]
    assert not unchecked
    return [each.path for each in faults if each.severity == "error"]


def sliced(path: str, kind: str, by: str, *elements: Json, rules: str = "open", ordered: bool = False) -> list[Json]:
    discriminator = [{"type": kind, "path": by}]
    return [{"path": path, "slicing": {"discriminator": discriminator, "rules": rules, "ordered": ordered}}, *elements]


def patient(*identifiers: Json, **more: Any) -> Json:
    return {"resourceType": "Patient", "identifier": list(identifiers)} | more


ONE, TWO = {"system": "urn:one", "value": "1"}, {"system": "urn:two", "value": "2"}
BY_SYSTEM: list[Json] = [
    {"path": "Patient.identifier", "sliceName": "one", "min": 1, "max": "1"},
    {"path": "Patient.identifier.system", "fixedUri": "urn:one"},
    {"path": "Patient.identifier", "sliceName": "two", "max": "1"},
    {"path": "Patient.identifier.system", "fixedUri": "urn:two"},
]


@pytest.mark.parametrize(
    ("rules", "ordered", "identifiers", "places"),
    [
        ("open", False, [ONE], []),
        ("open", False, [TWO, {}, ONE], []),
        ("open", False, [TWO], [".identifier"]),
        ("open", False, [ONE, ONE], [".identifier"]),
        ("closed", False, [ONE, {"value": "x"}], [".identifier[1]"]),
        ("openAtEnd", False, [ONE, {"value": "x"}], []),
        ("openAtEnd", False, [{"value": "x"}, ONE], [".identifier[0]"]),
        ("open", True, [TWO, ONE], [".identifier[1]"]),
        ("open", True, [ONE, {"value": "x"}, TWO], []),
    ],
)
def test_slices_by_value(rules: str, ordered: bool, identifiers: list[Json], places: list[str]) -> None:
    """How many each slice has, what may stand beside, and in which order."""
    own = Own("Patient", *sliced("Patient.identifier", "value", "system", *BY_SYSTEM, rules=rules, ordered=ordered))
    assert errors(own, patient(*identifiers)) == places


def test_slices_by_pattern() -> None:
    """A member has all that the pattern has, and may have more."""
    coding = {"system": "urn:s", "code": "a"}
    own = Own(
        "Observation",
        *sliced(
            "Observation.category",
            "pattern",
            "$this",
            {
                "path": "Observation.category",
                "sliceName": "a",
                "min": 1,
                "patternCodeableConcept": {"coding": [coding]},
            },
        ),
    )
    observation = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}
    assert errors(own, observation | {"category": [{"coding": [coding | {"display": "A"}], "text": "t"}]}) == []
    assert errors(own, observation | {"category": [{"coding": [coding | {"code": "b"}]}]}) == [".category"]


def test_slices_by_existence() -> None:
    """Members that have an element, and those that have it not."""
    own = Own(
        "Patient",
        *sliced(
            "Patient.contact",
            "exists",
            "organization",
            {"path": "Patient.contact", "sliceName": "work"},
            {"path": "Patient.contact.organization", "min": 1},
            {"path": "Patient.contact.telecom", "min": 1},
            {"path": "Patient.contact", "sliceName": "private", "max": "1"},
            {"path": "Patient.contact.organization", "max": "0"},
        ),
    )
    private, work = {"gender": "male"}, {"organization": {"display": "o"}}
    assert errors(own, patient(ONE, contact=[private, work | {"telecom": [{"value": "1"}]}])) == []
    assert errors(own, patient(ONE, contact=[private, private, work])) == [".contact[2].telecom", ".contact"]


def test_slices_by_type() -> None:
    """The types of a choice, and what a reference points to."""
    own = Own("Observation", {"path": "Observation.valueQuantity.code", "min": 1})
    observation = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}
    assert errors(own, observation | {"valueQuantity": {"value": 1, "code": "g", "system": "urn:u"}}) == []
    assert errors(own, observation | {"valueQuantity": {"value": 1}}) == [".value.code"]
    assert errors(own, observation | {"valueString": "x"}) == [".value", ".value"]

    targets = [{"code": "Reference", "targetProfile": [f"{STRUCTURES}Device"]}]
    of_devices = Own(
        "Observation",
        *sliced(
            "Observation.performer",
            "type",
            "resolve()",
            {"path": "Observation.performer", "sliceName": "p", "max": "1", "type": _targets("Practitioner")},
        ),
    )
    assert targets
    performers = [{"reference": "Practitioner/1"}, {"reference": "Organization/1"}]
    assert errors(of_devices, observation | {"performer": performers}) == []
    assert errors(of_devices, observation | {"performer": [*performers, performers[0]]}) == [".performer"]


def _targets(name: str) -> list[Json]:
    return [{"code": "Reference", "targetProfile": [STRUCTURES + name]}]


def test_slices_by_profile() -> None:
    """A member is in the slice whose profile it meets."""
    own = Own(
        "Bundle",
        *sliced(
            "Bundle.entry",
            "profile",
            "resource",
            {"path": "Bundle.entry", "sliceName": "signs", "min": 1},
            {
                "path": "Bundle.entry.resource",
                "type": [{"code": "Observation", "profile": [f"{STRUCTURES}vitalsigns"]}],
            },
        ),
    )
    plain = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}
    vital = "http://terminology.hl7.org/CodeSystem/observation-category"
    signs = plain | {
        "category": [{"coding": [{"system": vital, "code": "vital-signs"}]}],
        "subject": {"reference": "Patient/1"},
        "effectiveDateTime": "2020-01-01",
        "valueString": "x",
    }
    bundle = {"resourceType": "Bundle", "type": "collection"}
    assert errors(own, bundle | {"entry": [{"resource": plain}, {"resource": signs}]}) == []
    assert errors(own, bundle | {"entry": [{"resource": plain}]}) == [".entry"]


def test_a_target_that_is_at_hand_meets_its_profile() -> None:
    """A contained resource, or an entry of the same bundle, is held to the profile that the reference demands."""
    target = [{"code": "Reference", "targetProfile": [URL]}]
    own = Own("Patient", {"path": "Patient.birthDate", "min": 1})
    referring = Own("Observation", {"path": "Observation.subject", "type": target}, url="http://profiles.test/o")

    class Both:
        def structure(self, url: str, version: str | None = None) -> Json | None:
            return own.structure(url) or (referring._structure if url == "http://profiles.test/o" else None)

    plans = Plans(LayeredDefinitions(OfficialDefinitions(), Both()))

    def places(patient_: Json) -> list[str]:
        resource = {
            "resourceType": "Observation",
            "contained": [{"resourceType": "Patient", "id": "p"} | patient_],
            "subject": {"reference": "#p"},
        }
        faults = validate_profiles(resource, plans, profiles=["http://profiles.test/o"])
        return [each.path for each in faults if each.severity == "error"]

    assert places({"birthDate": "2000-01-01"}) == []
    assert places({"active": True}) == [".subject.reference"]


def test_what_cannot_be_told_apart_is_told_and_all_else_holds() -> None:
    """A slicing that says too little is a warning; the rest of the profile counts."""
    own = Own(
        "Patient",
        *sliced("Patient.identifier", "value", "system", {"path": "Patient.identifier", "sliceName": "vague"}),
        {"path": "Patient.birthDate", "min": 1},
    )
    plans = Plans(LayeredDefinitions(OfficialDefinitions(), own))
    faults = validate_profiles(patient(ONE), plans, profiles=[URL])
    assert [each.path for each in faults if each.severity == "error"] == [".birthDate"]
    assert [each.path for each in faults if each.code == "not-supported"] == [".identifier"]


def test_the_examples_of_the_patient_summary_are_valid() -> None:
    """As their authors say: 44 resources and documents, each by the profiles that it claims."""
    judge = Judge((IPS, EXTENSIONS))
    examples = {name: each for name, each in resources_of(IPS).items() if name.startswith("example/")}
    assert len(examples) == 44
    wrong = {
        name: [each for each in judge.issues(example) if each.severity == "error"] for name, example in examples.items()
    }
    assert {name: issues for name, issues in wrong.items() if issues} == {}


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@given(_json, _json)
def test_what_is_fixed_fits_its_pattern(value: Any, other: Any) -> None:
    """Every value is itself, and fits itself as a pattern; what is the same as another fits it."""
    assert is_fixed(value, value)
    assert fits_pattern(value, value)
    if is_fixed(value, other):
        assert fits_pattern(value, other)
