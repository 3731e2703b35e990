"""Faults planted into valid resources are found at their place, all of them, and nothing else is."""
# ruff: noqa: E501  (a table of faults reads best with one line for each)

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.r4.validation import validate

_DIV = '<div xmlns="http://www.w3.org/1999/xhtml">Anna</div>'

VALID: dict[str, dict[str, Any]] = {
    "Patient": {
        "resourceType": "Patient",
        "id": "p1",
        "meta": {
            "versionId": "1",
            "lastUpdated": "2024-02-29T12:00:00.000Z",
            "tag": [{"system": "http://t", "code": "x"}],
        },
        "language": "de-CH",
        "text": {"status": "generated", "div": _DIV},
        "extension": [{"url": "http://example.org/e", "valueString": "x", "_valueString": {"id": "a"}}],
        "identifier": [{"use": "official", "system": "http://example.org/mrn", "value": "1"}],
        "active": True,
        "name": [
            {
                "family": "Miller",
                "given": ["Anna", None],
                "_given": [None, {"extension": [{"url": "http://x", "valueCode": "y"}]}],
            }
        ],
        "telecom": [{"system": "phone", "value": "1", "rank": 1}],
        "gender": "female",
        "birthDate": "1974-12-25",
        "_birthDate": {"extension": [{"url": "http://example.org/time", "valueDateTime": "1974-12-25T14:35:45-05:00"}]},
        "deceasedBoolean": False,
        "photo": [{"contentType": "image/png", "data": "AAAA", "size": 3}],
        "contact": [{"name": {"text": "B"}, "period": {"start": "2020-01", "end": "2021"}}],
        "generalPractitioner": [{"reference": "Practitioner/1"}, {"reference": "#o"}],
        "contained": [{"resourceType": "Organization", "id": "o", "name": "Clinic"}],
        "link": [{"other": {"reference": "Patient/2"}, "type": "seealso"}],
    },
    "Observation": {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "85354-9"}]},
        "subject": {"reference": "Patient/1", "type": "Patient"},
        "issued": "2020-01-01T00:00:00Z",
        "effectiveDateTime": "2020-01-01T23:59:60Z",
        "valueQuantity": {"value": Decimal("1.0"), "unit": "mg", "system": "http://unitsofmeasure.org", "code": "mg"},
        "referenceRange": [{"low": {"value": 1}}],
        "component": [{"code": {"text": "a"}, "valueInteger": 1}],
    },
    "Condition": {
        "resourceType": "Condition",
        "subject": {"reference": "urn:uuid:6d0f9f6e-3f4e-4d0f-9d5a-0a5a3c6f5e01"},
        "clinicalStatus": {
            "coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "active"}]
        },
    },
    "Bundle": {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "fullUrl": "urn:uuid:6d0f9f6e-3f4e-4d0f-9d5a-0a5a3c6f5e02",
                "resource": {"resourceType": "Organization", "name": "Clinic"},
                "request": {"method": "POST", "url": "Organization"},
            }
        ],
    },
    "Parameters": {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "a", "valueBoolean": True},
            {"name": "b", "resource": {"resourceType": "Basic", "code": {"text": "x"}}},
            {"name": "c", "part": [{"name": "d", "valueTime": "12:00:00"}]},
        ],
    },
    "MedicationRequest": {
        "resourceType": "MedicationRequest",
        "status": "active",
        "intent": "order",
        "medicationCodeableConcept": {"text": "x"},
        "subject": {"reference": "Patient?identifier=http://x|1"},
        "dosageInstruction": [
            {
                "timing": {"repeat": {"frequency": 1, "period": Decimal("1"), "periodUnit": "d"}},
                "maxDosePerAdministration": {"value": 1},
            }
        ],
    },
    "Questionnaire": {
        "resourceType": "Questionnaire",
        "status": "draft",
        "item": [{"linkId": "1", "type": "group", "item": [{"linkId": "2", "type": "string", "maxLength": 9}]}],
    },
}

DELETE = object()

# The place where to plant, dotted and with indexes; what to plant; the issue code; the FHIRPath of the fault.
FAULTS: list[tuple[str, object, str, str]] = [
    # JSON types and cardinality
    ("Patient.name", {"family": "Miller"}, "structure", "Patient.name"),
    ("Patient.name.0", "Anna Miller", "structure", "Patient.name[0]"),
    ("Patient.name.0", None, "structure", "Patient.name[0]"),
    ("Patient.birthDate", ["1974-12-25"], "structure", "Patient.birthDate"),
    ("Patient.birthDate", 1974, "structure", "Patient.birthDate"),
    ("Patient.birthDate", None, "structure", "Patient.birthDate"),
    ("Patient.active", "true", "structure", "Patient.active"),
    ("Patient.active", 1, "structure", "Patient.active"),
    ("Patient.telecom.0.rank", True, "structure", "Patient.telecom[0].rank"),
    ("Patient.telecom.0.rank", "1", "structure", "Patient.telecom[0].rank"),
    ("Patient.contact.0.name", [{"text": "B"}], "structure", "Patient.contact[0].name"),
    ("Patient.meta", [], "structure", "Patient.meta"),
    ("Observation.valueQuantity.value", "1.0", "structure", "Observation.value.value"),
    ("Observation.status", DELETE, "required", "Observation.status"),
    ("Observation.code", DELETE, "required", "Observation.code"),
    ("Observation.component.0.code", DELETE, "required", "Observation.component[0].code"),
    ("MedicationRequest.medicationCodeableConcept", DELETE, "required", "MedicationRequest.medication"),
    ("Patient.link.0.type", DELETE, "required", "Patient.link[0].type"),
    ("Patient.extension.0.url", DELETE, "required", "Patient.extension[0].url"),
    # empty things
    ("Patient.name", [], "structure", "Patient.name"),
    ("Patient.name.0", {}, "structure", "Patient.name[0]"),
    ("Patient.contact.0.name", {}, "structure", "Patient.contact[0].name"),
    ("Patient.name.0.family", "", "value", "Patient.name[0].family"),
    ("Patient.name.0.given", [None, None], "structure", "Patient.name[0].given[0]"),
    ("Patient.telecom.0", {"id": "lone"}, "invariant", "Patient.telecom[0]"),
    # unknown elements
    ("Patient.birthdate", "1974-12-25", "structure", "Patient.birthdate"),
    ("Patient.fhir_comments", ["x"], "structure", "Patient.fhir_comments"),
    ("Patient.name.0.first name", "x", "structure", "Patient.name[0].`first name`"),
    ("Patient._name", [{"id": "x"}], "structure", "Patient._name"),
    ("Patient._id", {"id": "x"}, "structure", "Patient._id"),
    ("Patient.name.0.resourceType", "HumanName", "structure", "Patient.name[0].resourceType"),
    ("Patient.extension.0._url", {"id": "x"}, "structure", "Patient.extension[0]._url"),
    ("Observation.value", "x", "structure", "Observation.value"),
    ("Observation.valueMoney", {"value": 1}, "structure", "Observation.valueMoney"),
    # choices
    ("Patient.deceasedDateTime", "2020", "structure", "Patient.deceased"),
    ("Observation.valueString", "x", "structure", "Observation.value"),
    ("Observation._valueString", {"extension": [{"url": "http://x", "valueCode": "y"}]}, "structure", "Observation.value"),
    # primitives
    ("Patient.id", "p 1", "value", "Patient.id"),
    ("Patient.id", "x" * 65, "value", "Patient.id"),
    ("Patient.birthDate", "1974-02-29", "value", "Patient.birthDate"),
    ("Patient.birthDate", "1974-13", "value", "Patient.birthDate"),
    ("Patient.birthDate", "25.12.1974", "value", "Patient.birthDate"),
    ("Patient.birthDate", "0000-01-01", "value", "Patient.birthDate"),
    ("Patient.meta.lastUpdated", "2024-02-30T12:00:00Z", "value", "Patient.meta.lastUpdated"),
    ("Patient.meta.lastUpdated", "2024-02-28", "value", "Patient.meta.lastUpdated"),
    ("Observation.effectiveDateTime", "2020-01-01T10:00:00", "value", "Observation.effective"),
    ("Observation.effectiveDateTime", "2020-01-01T24:00:00Z", "value", "Observation.effective"),
    ("Observation.effectiveDateTime", "2020-01-01T10:00Z", "value", "Observation.effective"),
    ("Parameters.parameter.2.part.0.valueTime", "24:00:00", "value", "Parameters.parameter[2].part[0].value"),
    ("Patient.telecom.0.rank", 0, "value", "Patient.telecom[0].rank"),
    ("Patient.telecom.0.rank", Decimal("1.0"), "value", "Patient.telecom[0].rank"),
    ("Observation.component.0.valueInteger", 2**31, "value", "Observation.component[0].value"),
    ("Observation.valueQuantity.value", Decimal("1." + "1" * 34), "value", "Observation.value.value"),
    ("Observation.valueQuantity.value", Decimal("1E+6200"), "value", "Observation.value.value"),
    ("Patient.photo.0.data", "AAA", "value", "Patient.photo[0].data"),
    ("Patient.identifier.0.system", "http://example.org/a b", "value", "Patient.identifier[0].system"),
    ("Patient.name.0.family", "Mil\x00ler", "value", "Patient.name[0].family"),
    ("Patient.name.0.family", "Mil\ud800ler", "value", "Patient.name[0].family"),
    ("Patient.meta.tag.0.code", " x", "value", "Patient.meta.tag[0].code"),
    ("Patient.name.0.id", "a b", "value", "Patient.name[0].id"),
    # primitives with extensions
    ("Patient._birthDate", [], "structure", "Patient.birthDate"),
    ("Patient._birthDate", {}, "structure", "Patient.birthDate"),
    ("Patient._birthDate.value", "x", "structure", "Patient.birthDate.value"),
    ("Patient._gender", None, "structure", "Patient.gender"),
    ("Patient.name.0._given", [None], "structure", "Patient.name[0].given"),
    ("Patient.name.0._given.1", {"id": "x"}, "invariant", "Patient.name[0].given[1]"),
    ("Patient.name.0.given.0", 7, "structure", "Patient.name[0].given[0]"),
    ("Observation._language", {"id": "x"}, "invariant", "Observation.language"),
    # bindings
    ("Patient.gender", "woman", "code-invalid", "Patient.gender"),
    ("Patient.name.0.use", "Official", "code-invalid", "Patient.name[0].use"),
    ("Patient.language", "german (Switzerland)", "code-invalid", "Patient.language"),
    ("Condition.clinicalStatus.coding.0.code", "ill", "code-invalid", "Condition.clinicalStatus"),
    ("Condition.clinicalStatus", {"text": "active"}, "code-invalid", "Condition.clinicalStatus"),
    # extensions
    ("Patient.extension.0.extension", [{"url": "a", "valueCode": "b"}], "invariant", "Patient.extension[0]"),
    ("Patient.extension.0", {"url": "http://x"}, "invariant", "Patient.extension[0]"),
    # references
    ("Patient.generalPractitioner.0.reference", "Practitioner/{id}", "value", "Patient.generalPractitioner[0].reference"),
    ("Patient.generalPractitioner.0.reference", "Doctor 1", "value", "Patient.generalPractitioner[0].reference"),
    ("Patient.generalPractitioner.0.reference", "Patient/1", "value", "Patient.generalPractitioner[0].reference"),
    ("Patient.generalPractitioner.0.reference", "http://h/Patient/1", "value", "Patient.generalPractitioner[0].reference"),
    ("Patient.generalPractitioner.0.reference", "#x", "invariant", "Patient.generalPractitioner[0]"),
    ("Observation.subject.type", "Group", "value", "Observation.subject.type"),
    ("Observation.subject.type", "Human", "value", "Observation.subject.type"),
    # contained resources
    ("Patient.contained.0.resourceType", "Organisation", "structure", "Patient.contained[0]"),
    ("Patient.contained.0.resourceType", DELETE, "structure", "Patient.contained[0]"),
    ("Patient.contained.0.name", 1, "structure", "Patient.contained[0].name"),
    ("Patient.contained.0.contained", [{"resourceType": "Basic", "id": "b", "code": {"text": "#"}}], "invariant", "Patient.contained[0].contained"),
    ("Patient.contained.0.meta", {"versionId": "1"}, "invariant", "Patient.contained[0].meta.versionId"),
    ("Patient.contained.0.meta", {"security": [{"code": "R"}]}, "invariant", "Patient.contained[0].meta.security"),
    ("Patient.contained.0.partOf", {"reference": "Patient/1"}, "value", "Patient.contained[0].partOf.reference"),
    ("Patient.contained.1", {"resourceType": "Basic", "id": "b", "code": {"text": "x"}}, "invariant", "Patient.contained[1]"),
    # resources within resources
    ("Bundle.entry.0.resource.resourceType", "Clinic", "structure", "Bundle.entry[0].resource"),
    ("Bundle.entry.0.resource", "Organization/1", "structure", "Bundle.entry[0].resource"),
    ("Bundle.entry.0.resource.active", "yes", "structure", "Bundle.entry[0].resource.active"),
    ("Parameters.parameter.1.resource.code", DELETE, "required", "Parameters.parameter[1].resource.code"),
    # invariants
    ("Bundle.entry.0.request", DELETE, "invariant", "Bundle"),
    ("Bundle.entry.0.resource.name", DELETE, "invariant", "Bundle.entry[0].resource"),
    ("Bundle.total", 1, "invariant", "Bundle"),
    ("Bundle.entry.0.fullUrl", "http://x/Patient/1/_history/2", "invariant", "Bundle.entry[0]"),
    ("Parameters.parameter.0.valueBoolean", DELETE, "invariant", "Parameters.parameter[0]"),
    ("Patient.contact.0.name", DELETE, "invariant", "Patient.contact[0]"),
    ("Patient.contact.0.period.end", "2019", "invariant", "Patient.contact[0].period"),
    ("Patient.telecom.0.system", DELETE, "invariant", "Patient.telecom[0]"),
    ("Patient.photo.0.contentType", DELETE, "invariant", "Patient.photo[0]"),
    ("Observation.dataAbsentReason", {"text": "x"}, "invariant", "Observation"),
    ("Observation.component.0.code", {"coding": [{"system": "http://loinc.org", "code": "85354-9"}]}, "invariant", "Observation"),
    ("Observation.referenceRange.0", {"type": {"text": "x"}}, "invariant", "Observation.referenceRange[0]"),
    ("Observation.valueQuantity.system", DELETE, "invariant", "Observation.value"),
    ("Condition.abatementString", "gone", "invariant", "Condition"),
    ("MedicationRequest.dosageInstruction.0.maxDosePerAdministration.comparator", "<", "invariant", "MedicationRequest.dosageInstruction[0].maxDosePerAdministration"),
    ("MedicationRequest.dosageInstruction.0.timing.repeat.periodUnit", DELETE, "invariant", "MedicationRequest.dosageInstruction[0].timing.repeat"),
    ("MedicationRequest.dosageInstruction.0.timing.repeat.period", Decimal("-1"), "invariant", "MedicationRequest.dosageInstruction[0].timing.repeat"),
    ("Questionnaire.item.0.item.0.linkId", "1", "invariant", "Questionnaire"),
    ("Questionnaire.item.0.item.0.type", "date", "invariant", "Questionnaire.item[0].item[0]"),
    ("Questionnaire.item.0.item", DELETE, "invariant", "Questionnaire.item[0]"),
    # narrative
    ("Patient.text.div", "<div>Anna</div>", "invariant", "Patient.text.div"),
    ("Patient.text.div", _DIV.replace("Anna", "<script>x</script>"), "invariant", "Patient.text.div"),
    ("Patient.text.status", DELETE, "required", "Patient.text.status"),
]  # fmt: skip


def planted(place: str, value: object) -> dict[str, Any]:
    """Return a copy of the valid resource that `place` starts with, changed there."""
    root, *steps = place.split(".")
    resource = copy.deepcopy(VALID[root])
    node: Any = resource
    for step in steps[:-1]:
        node = node[int(step)] if isinstance(node, list) else node[step]
    last: Any = int(steps[-1]) if isinstance(node, list) else steps[-1]
    if value is DELETE:
        del node[last]
    elif isinstance(node, list) and last == len(node):
        node.append(value)
    else:
        node[last] = value
    return resource


@pytest.mark.parametrize("name", VALID)
def test_the_resources_to_plant_in_are_valid(name: str) -> None:
    """A resource without a planted fault has none."""
    assert validate(VALID[name], max_depth=20) == []


@pytest.mark.parametrize(("place", "value", "code", "expression"), FAULTS)
def test_a_planted_fault_is_found_at_its_place(place: str, value: object, code: str, expression: str) -> None:
    """Each fault is reported with its issue code and FHIRPath, and causes no report elsewhere."""
    issues = validate(planted(place, value), max_depth=20)
    assert (code, (expression,)) in [(issue.code, issue.expression) for issue in issues]
    assert all(expression.startswith(issue.expression[0]) for issue in issues)
    assert all(issue.severity == "error" and issue.diagnostics for issue in issues)


def test_all_faults_are_found_at_once() -> None:
    """One answer names every fault, of structure, values, bindings, references and invariants."""
    resource = copy.deepcopy(VALID["Patient"])
    resource["gender"] = "woman"
    resource["birthDate"] = "1974-02-29"
    resource["nickname"] = "A"
    resource["contact"][0]["period"]["end"] = "2019"
    resource["contact"].append({"gender": "male"})
    resource["generalPractitioner"][0]["reference"] = "no body"
    issues = {(issue.code, *issue.expression) for issue in validate(resource, max_depth=20)}
    assert issues == {
        ("code-invalid", "Patient.gender"),
        ("value", "Patient.birthDate"),
        ("structure", "Patient.nickname"),
        ("invariant", "Patient.contact[0].period"),
        ("invariant", "Patient.contact[1]"),
        ("value", "Patient.generalPractitioner[0].reference"),
    }


@pytest.mark.parametrize("body", [None, [], "Patient", 1, {}, {"resourceType": 1}, {"resourceType": "Resource"}])
def test_what_is_no_resource_is_refused(body: object) -> None:
    """A body that is not an object with a concrete resourceType is a fault of structure."""
    assert [issue.code for issue in validate(body, max_depth=20)] == ["structure"]


def test_nesting_is_limited_exactly() -> None:
    """Objects and arrays may nest as deep as the limit, and one level more is a fault, however deep the rest is."""
    resource: dict[str, Any] = {"resourceType": "Patient", "contact": [{"name": {"text": "x"}}]}
    assert validate(resource, max_depth=4) == []
    assert [issue.code for issue in validate(resource, max_depth=3)] == ["too-costly"]
    extension: dict[str, Any] = {"url": "http://x", "valueCode": "x"}
    for _ in range(100_000):
        extension = {"url": "http://x", "extension": [extension]}
    assert [issue.code for issue in validate({"resourceType": "Patient", "extension": [extension]}, max_depth=50)] == [
        "too-costly"
    ]
    while "extension" in extension:  # taken apart by hand, as the interpreter would recurse to free it
        extension = extension.pop("extension")[0]


def test_a_limit_beyond_the_interpreter_is_still_an_issue() -> None:
    """Where the setting allows more nesting than Python can follow, the answer is an issue and not a crash."""
    extension: dict[str, Any] = {"url": "http://x", "valueCode": "x"}
    for _ in range(5_000):
        extension = {"url": "http://x", "extension": [extension]}
    resource = {"resourceType": "Patient", "extension": [extension]}
    assert [issue.code for issue in validate(resource, max_depth=1_000_000)] == ["too-costly"]


def test_the_number_of_issues_is_limited() -> None:
    """Ten thousand faults give a thousand issues and the number of the rest."""
    resource = {"resourceType": "Patient", "name": [{"x": 1}] * 10_000}
    issues = validate(resource, max_depth=20)
    assert len(issues) == 1001
    assert issues[-1].diagnostics == "9000 more faults are not listed."


def test_issues_can_always_be_written_as_utf8() -> None:
    """Lone surrogates of names and values are escaped in the issues that name them."""
    issues = validate({"resourceType": "Patient", "\ud800": 1, "gender": "\udfff"}, max_depth=20)
    assert len(issues) == 2
    for issue in issues:
        assert str(issue.to_fhir()).encode()


def test_a_shape_met_with_faults_does_not_change_the_next_verdict() -> None:
    """What is remembered about one object of a shape depends on its property names alone."""
    broken = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, "referenceRange": [{"age": []}]}
    sound = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
        "referenceRange": [{"age": {"low": {"value": 1}}, "text": "x"}],
    }
    assert validate(broken, max_depth=20) != []
    assert validate(sound, max_depth=20) == []
    assert validate(broken, max_depth=20) == validate(broken, max_depth=20)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals() | st.text(st.characters(codec=None)),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.just("resourceType"), inner, max_size=3)
    ),
    max_leaves=5,
)


def places(node: object, at: str) -> list[str]:
    """Return every place within a resource, in the notation of the table of faults."""
    items = [at]
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in children:
        items.extend(places(value, f"{at}.{key}"))
    return items


@given(st.data())
def test_junk_anywhere_gives_issues_and_no_exception(data: st.DataObject) -> None:
    """Whatever JSON stands at whatever place, validation ends with issues that can be sent."""
    root = data.draw(st.sampled_from(sorted(VALID)))
    place = data.draw(st.sampled_from(places(VALID[root], root)[1:]))
    issues = validate(planted(place, data.draw(JUNK)), max_depth=20)
    for issue in issues:
        assert issue.code != "exception"
        assert str(issue.to_fhir()).encode()
        assert issue.expression
        assert "".join(issue.expression).encode()


_TWICE = {"url": "http://example.org/x", "valueString": "y", "id": "same"}


@pytest.mark.parametrize(
    ("resource", "place"),
    [
        ({"resourceType": "Patient", "name": [{"id": "1", "text": "a"}, {"id": "1", "text": "b"}]}, "Patient.name[1].id"),
        ({"resourceType": "Patient", "name": [{"id": "1", "text": "a", "_text": {"id": "1"}}]}, "Patient.name[0].text.id"),
        ({"resourceType": "Patient", "extension": [_TWICE, _TWICE]}, "Patient.extension[1].id"),
        (
            {
                "resourceType": "Patient",
                "generalPractitioner": [{"reference": "#p"}],
                "contained": [{"resourceType": "Practitioner", "id": "p"}, {"resourceType": "Organization", "id": "p", "name": "x"}],
            },
            "Patient.contained[1].id",
        ),
    ],
)  # fmt: skip
def test_no_id_stands_twice(resource: dict[str, Any], place: str) -> None:
    """Ids of elements are unique in a resource, those of contained resources in their container."""
    assert [(issue.code, issue.expression) for issue in validate(resource, max_depth=20)] == [("duplicate", (place,))]


def test_each_resource_has_ids_of_its_own() -> None:
    """The same element id in a container, in what it contains and in another entry is no fault."""
    named = {"resourceType": "Organization", "name": "x", "alias": ["y"], "_alias": [{"id": "1"}]}
    patient = {
        "resourceType": "Patient",
        "name": [{"id": "1", "text": "x"}],
        "contained": [{**named, "id": "1"}],
        "managingOrganization": {"reference": "#1"},
    }
    assert validate(patient, max_depth=20) == []
    entries = [{"fullUrl": f"urn:uuid:{n}", "resource": patient} for n in range(2)]
    assert validate({"resourceType": "Bundle", "type": "collection", "entry": entries}, max_depth=20) == []
    element = {"id": "Patient", "path": "Patient", "definition": "x", "min": 0, "max": "*"}
    structure = {
        "resourceType": "StructureDefinition",
        "snapshot": {"element": [element]},
        "differential": {"element": [element]},
    }
    assert "duplicate" not in [issue.code for issue in validate(structure, max_depth=20)]


def _extended(url: str) -> dict[str, Any]:
    return {"url": url, "valueString": "x"}


@pytest.mark.parametrize(
    ("resource", "place"),
    [
        ({"resourceType": "Patient", "extension": [_extended("x")]}, "Patient.extension[0].url"),
        ({"resourceType": "Patient", "modifierExtension": [_extended("StructureDefinition/x")]}, "Patient.modifierExtension[0].url"),
        ({"resourceType": "Patient", "name": [{"extension": [_extended("/x")]}]}, "Patient.name[0].extension[0].url"),
        ({"resourceType": "Patient", "_birthDate": {"extension": [_extended("x")]}}, "Patient.birthDate.extension[0].url"),
    ],
)  # fmt: skip
def test_the_url_of_an_extension_is_absolute(resource: dict[str, Any], place: str) -> None:
    """Only an extension within an extension may have a relative url."""
    assert [issue.expression for issue in validate(resource, max_depth=20)] == [(place,)]
    nested = {"url": "urn:oid:1.2", "extension": [_extended("x"), {"url": "y", "extension": [_extended("z")]}]}
    assert validate({"resourceType": "Patient", "extension": [nested]}, max_depth=20) == []


@pytest.mark.parametrize(
    ("currency", "sound"), [("EUR", True), ("DEM", True), ("XXX", True), ("ABC", False), ("eur", False)]
)
def test_a_currency_is_one_of_iso_4217(currency: str, sound: bool) -> None:
    """Also a withdrawn one, as old invoices have it."""
    invoice = {"resourceType": "Invoice", "status": "issued", "totalNet": {"value": 1, "currency": currency}}
    assert (validate(invoice, max_depth=20) == []) is sound


def _observed(code: str) -> dict[str, Any]:
    value = {"value": 1, "system": "http://unitsofmeasure.org", "code": code}
    return {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, "valueQuantity": value}


@pytest.mark.parametrize("code", ["(score)", "mm Hg", "bpm", "µg", "mmol/l/", "kgg"])
def test_what_is_no_unit_is_warned_about(code: str) -> None:
    """A UCUM code that is none may be stored, and is told where warnings are asked for."""
    assert validate(_observed(code), max_depth=20) == []
    (issue,) = validate(_observed(code), max_depth=20, warnings=True)
    assert (issue.severity, issue.code, issue.expression) == ("warning", "code-invalid", ("Observation.value.code",))


@pytest.mark.parametrize(
    "code", ["mm[Hg]", "/min", "{score}", "[pH]", "Cel", "dB", "10*3/uL", "kg/m2", "[arb'U]/mL", "B[SPL]", "%"]
)
def test_a_unit_of_ucum_is_one(code: str) -> None:
    """Arbitrary, annotated and logarithmic units too."""
    assert validate(_observed(code), max_depth=20, warnings=True) == []
